"""How long verdicts of task files take: ``python -m tests.tasks.task_file_time``; needs the files in ../shared/data."""

import timeit
from pathlib import Path

from esprobe.tasks import load_task

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
TASKS = {
    "gsm8k": ("gsm8k-test.jsonl", "#### 18", "#### 19"),
    "math500": ("math500-test.jsonl", "\\boxed{3}", "\\boxed{4}"),
}
NUMBER = 2000


def main() -> None:
    for name, (file, *answers) in TASKS.items():
        task = load_task(name)
        problems, scorer = task.data_set(str(SHARED / file)).problems, task.scorers[0]
        for answer in ("no answer", *answers):
            text = "Let us see. " * 100 + answer
            took = min(timeit.repeat(lambda: task.score(problems[0], text, scorer), number=NUMBER, repeat=5))  # noqa: B023
            print(f"{name}, {answer}: {took / NUMBER * 1e6:.1f} microseconds")
    # Numbers and variables, so that no pair is decided without the library, and none is asked twice.
    pairs = [(problem, f"\\boxed{{x^{n} + \\frac{{1}}{{{n + 2}}}}}") for n, problem in enumerate(problems[:200])]
    took = timeit.timeit(lambda: [task.score(problem, text, scorer) for problem, text in pairs], number=1)
    print(f"math500, by math-verify: {took / len(pairs) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
