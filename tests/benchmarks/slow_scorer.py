"""What a slow scorer costs a run: rollouts/s of the whole loop with a scorer of milliseconds and with an instant one.

    python -m tests.benchmarks.slow_scorer [--problems 100] [--samples 1000] [--scorer-ms 5] [--answers 4] [--rounds 3]
    python -m tests.benchmarks.slow_scorer --math   # math-verify in place of a scorer that sleeps

The engine is the scripted one, at its own speed, which is several times that of a real one. Every problem has that many
different answers, so that all further ones come from the cache. Printed, never asserted; the rounds alternate.
"""

import argparse
import json
import statistics
import tempfile
import time
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from esprobe.cli.progress import ConsoleObserver
from esprobe.sampling.job import Job
from esprobe.sampling.run import run
from esprobe.sampling.stop import StopSignals
from esprobe.tasks import load_task

TASK = """
import time
from esprobe.spec import Problem, Prompt, Score, digest_of
from esprobe.tasks import DataSet


class Benchmark:
    name = "benchmark"
    prompts = ("chat",)
    scorers = ("instant/1", "slow/1")
    slow_scorers = {"slow/1": 10.0}

    def data_set(self, data):
        return DataSet("numbers", digest_of(5000), [Problem(i, {"n": i}, "all") for i in range(5000)])

    def prompt(self, problem, style):
        return Prompt((("user", str(problem.inputs["n"])),), "")

    def score(self, problem, completion, scorer):
        if scorer == "slow/1":
            time.sleep(SECONDS)
        return Score(1.0, True, completion[:8], None)


def load():
    return Benchmark()
"""


MATH_TASK = r"""
name: fractions
data: fractions.jsonl
prompt: {user: "{question}"}
answer: "{answer}"
extract: boxed
compare: math
"""


def speed(folder: Path, task: str, scorer: str, problems: int, samples: int) -> float:
    """Rollouts per second of a whole run, loading and reading back included."""
    database = folder / f"{time.monotonic_ns()}.db"
    job = Job(
        command="benchmark",
        model=str(folder / "model.json"),
        engine="scripted",
        task=task,
        data=None,
        problems=(0, problems),
        samples=samples,
        seed=42,
        max_tokens=1024,
        dtype="auto",
        prompt="chat",
        scorer=scorer,
        baseline=False,
        temperatures=(1.0,),
    )
    started = time.perf_counter()
    with redirect_stderr(StringIO()), StopSignals() as stop, ConsoleObserver() as observer:
        summary = run(job, database, observer, stop)
    assert summary.outcome == "done"
    database.unlink()
    return summary.drawn / (time.perf_counter() - started)


def main() -> None:
    """Print the speeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--scorer-ms", type=float, default=5)
    parser.add_argument("--answers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--math", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "task.py").write_text(TASK.replace("SECONDS", str(asked.scorer_ms / 1000)))
        rows = [{"question": f"{n}?", "answer": f"\\frac{{{n}}}{{{n + 7}}}"} for n in range(asked.problems)]
        (folder / "fractions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "fractions.yaml").write_text(MATH_TASK)
        boxed = [f"\\boxed{{\\frac{{{n + 1}}}{{x^{n}}}}}" for n in range(asked.answers)]
        (folder / "model.json").write_text(json.dumps({"*": ["with reasons " * 40 + text for text in boxed]}))
        python, math = f"{folder / 'task.py'}:load", str(folder / "fractions.yaml")
        slow = ("math", math, load_task(math).scorers[0]) if asked.math else ("slow", python, "slow/1")
        arms = [("instant", python, "instant/1"), slow]
        found: list[list[float]] = [[] for _ in arms]
        for _ in range(asked.rounds):
            for (_, task, scorer), speeds in zip(arms, found, strict=True):
                speeds.append(speed(folder, task, scorer, asked.problems, asked.samples))
    for (name, *_), speeds in zip(arms, found, strict=True):
        print(f"{name}: {statistics.median(speeds):,.0f} rollouts/s ({', '.join(f'{s:,.0f}' for s in speeds)})")
    print(f"{slow[0]} over instant: {statistics.median(found[1]) / statistics.median(found[0]):.3f}")


if __name__ == "__main__":
    main()
