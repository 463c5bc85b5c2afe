"""What a task file's data lack: gold answers that cannot be written, found or accepted, and empty fields."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from esprobe.errors import EsprobeError, TaskError
from esprobe.records import Audit, Finding
from esprobe.spec import Problem
from esprobe.tasks.audit import audit_any, question_key
from esprobe.tasks.base import DataSet
from esprobe.tasks.examples import shown_as_examples
from esprobe.tasks.files.comparison import Number
from esprobe.tasks.files.numbers import leftover
from esprobe.tasks.guarded import describe

if TYPE_CHECKING:
    from esprobe.tasks.files.task import FileTask

MEANINGS: Mapping[str, str] = {
    "duplicate, another answer": "a duplicate whose gold answer is not that of the earlier problem",
    "shown as an example": "its question is one of the solved examples that its own prompt shows",
    "empty field": "a text that the prompt or the answer shows is empty, or only white space",
    "answer taken whole": "the key answer.extract finds nothing in the gold text, so all of it is the gold answer",
    "gold not of the form": "the comparison cannot read the gold answer: no number, no choice of the problem",
    "number is part of the gold answer": (
        "the comparison reads a part of the gold answer only, such as 3 of 3 1/2, or 2 of 2:30"
    ),
    "gold not found": "written in the form that the prompt asks for, the gold answer is not found by the extraction",
    "gold not accepted": (
        "the comparison does not accept the gold answer as its own equal, so other spellings of it are wrong"
    ),
}
"""The findings, in order, and what they mean."""


_SHOWN = 60


def audit(task: "FileTask", data: DataSet, problems: tuple[int, int], training: tuple[int, int]) -> Audit:
    """Every finding about a slice of a task file's data, those that hold for no problem too."""
    found: dict[str, list[int]] = {name: [] for name in MEANINGS}
    answers: dict[str, tuple[str, ...]] = {}
    for problem in data.problems[slice(*problems)]:
        golds = task.golds(problem)
        if answers.setdefault(question_key(task, problem), golds) != golds:
            found["duplicate, another answer"].append(problem.index)
        for name in _findings(task, problem):
            found[name].append(problem.index)
    found["shown as an example"] = shown_as_examples(task, data.problems[slice(*problems)])
    own = [Finding(name, tuple(indices)) for name, indices in found.items()]
    return audit_any(task, data, problems, training, own, [f"{name}: {text}" for name, text in MEANINGS.items()])


def _findings(task: "FileTask", problem: Problem) -> set[str]:
    parts, options = task.parts, task.options(problem)
    found = {"empty field" for value in problem.inputs.values() if isinstance(value, str) and not value.strip()}
    if parts.gold.extraction is not None:
        text = parts.gold.text.choose(problem.inputs).fill(problem.inputs, f"problem {problem.index}")
        found |= set() if parts.gold.extraction.find(text, options) else {"answer taken whole"}
    for gold in task.golds(problem):
        canonical = parts.comparison.read(gold, options)
        if canonical is None:
            found.add("gold not of the form")
            continue
        if isinstance(parts.comparison, Number) and leftover(gold) is not None:
            found.add("number is part of the gold answer")
        try:
            accepted = parts.comparison.accepts(canonical, problem.inputs)
            written = parts.extraction.write(gold)
            if written is not None and not task.score(problem, written, task.scorers[0]).correct:
                found.add("gold not found")
        except EsprobeError:
            raise
        except Exception as error:  # of a user's function
            raise TaskError(
                f"task {task.name}: the comparison {parts.comparison.spec[1]} failed on problem {problem.index}, given "
                f"its gold answer {gold[:_SHOWN]!r} as the answer: {describe(error)}; a rollout on which it fails "
                f"counts as wrong (scorer-error), so correct the function"
            ) from error
        found |= set() if accepted else {"gold not accepted"}
    return found
