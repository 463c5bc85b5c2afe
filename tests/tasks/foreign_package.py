"""A package of another author with a task, as tests install it: a folder on the path with an entry point."""

from pathlib import Path

TASK = """
import json
from fractions import Fraction
from pathlib import Path

from esprobe.errors import DataError
from esprobe.spec import Problem, Prompt, Score, digest_of
from esprobe.tasks import DataSet


class Sums:
    name = "sums"
    prompts = ("chat", "raw")
    scorers = ("sums/1", "generous/1")
    null_label = "random digits"
    null_description = "one digit from 0 to 9, all equally likely"

    def data_set(self, data):
        if data is None:
            raise DataError("the task sums has no data of its own; name a file with --data")
        rows = json.loads(Path(data).read_text())
        return DataSet(data, digest_of(rows), [Problem(i, {"a": a, "b": b}, "sum") for i, (a, b) in enumerate(rows)])

    def prompt(self, problem, style):
        text = f"{problem.inputs['a']} + {problem.inputs['b']} = "
        return Prompt((("user", text),), "") if style == "chat" else Prompt((), text)

    def score(self, problem, completion, scorer):
        if "boom" in completion:
            raise ZeroDivisionError("no such luck")
        if "exit" in completion:
            raise SystemExit(3)
        if "none" in completion:
            return None
        answer = completion.strip() or None
        goal = problem.inputs["a"] + problem.inputs["b"]
        right = answer is not None and (answer == str(goal) or scorer == "generous/1")
        return Score(float(right), right, answer, None if right else "wrong")

    def null_probabilities(self, problems):
        return [0.1 if p.inputs["a"] + p.inputs["b"] < 10 else 0.0 for p in problems]

    def value(self, problem, answer):
        return Fraction(answer) if answer and answer.isdecimal() else None

    def expression(self, problem, completion):
        return completion.strip()

    def content_key(self, fields):
        return None if "a" not in fields else f"{fields['a']} {fields['b']}"


def load():
    return Sums()
"""


class Package:
    """The package, installed in a folder or not."""

    def __init__(self, folder: Path) -> None:
        self.module = folder / "sums_task.py"
        self._metadata = folder / "sums-1.0.dist-info"
        self._metadata.mkdir(parents=True)
        self.module.write_text(TASK)
        (self._metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sums\nVersion: 1.0\n")
        self._points = self._metadata / "entry_points.txt"
        self.install()

    def install(self, name: str = "sums") -> None:
        """Register the task."""
        self._points.write_text(f"[esprobe.tasks]\n{name} = sums_task:load\n")

    def uninstall(self) -> None:
        """Take its entry point away."""
        self._points.unlink()

    def edit(self, old: str, new: str) -> None:
        """Change the source in place."""
        text = self.module.read_text()
        assert old in text
        self.module.write_text(text.replace(old, new))
