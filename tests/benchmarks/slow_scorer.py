"""What a slow scorer costs a run: rollouts/s of the whole loop with a scorer of milliseconds and with an instant one.

    python -m tests.benchmarks.slow_scorer [--problems 100] [--samples 1000] [--scorer-ms 5] [--answers 4] [--rounds 3]

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


def speed(folder: Path, scorer: str, problems: int, samples: int) -> float:
    """Rollouts per second of a whole run, loading and reading back included."""
    database = folder / f"{time.monotonic_ns()}.db"
    job = Job(
        command="benchmark",
        model=str(folder / "model.json"),
        engine="scripted",
        task=f"{folder / 'task.py'}:load",
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
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "task.py").write_text(TASK.replace("SECONDS", str(asked.scorer_ms / 1000)))
        texts = [f"answer {number} " + "with reasons " * 40 for number in range(asked.answers)]
        (folder / "model.json").write_text(json.dumps({"*": texts}))
        found: dict[str, list[float]] = {"instant/1": [], "slow/1": []}
        for _ in range(asked.rounds):
            for scorer, speeds in found.items():
                speeds.append(speed(folder, scorer, asked.problems, asked.samples))
    for scorer, speeds in found.items():
        print(f"{scorer}: {statistics.median(speeds):,.0f} rollouts/s ({', '.join(f'{s:,.0f}' for s in speeds)})")
    print(f"slow over instant: {statistics.median(found['slow/1']) / statistics.median(found['instant/1']):.3f}")


if __name__ == "__main__":
    main()
