"""Time of esprobe's expression parser beside ``ast.parse`` on long texts that reach it; printed, never asserted."""

import ast
import contextlib
import time
from collections.abc import Callable

from esprobe.tasks.countdown.grammar import parse

TEXTS = {
    "an answer": "(44 + 19) - 35 * (2 / 3)",
    "parentheses, 100 deep": "+".join(["(" * 100 + "1" + ")" * 100] * 25),
    "parentheses, 50 deep": "+".join(["(" * 50 + "1" + ")" * 50] * 50),
    "calls": "1" + "()" * 2500,
    "calls of nothing": "()" * 2500,
    "signs, 2,800 on one operand": "-" * 2800 + "1",
    "signs, 1,000 on each of five": "+".join(["-" * 1000 + "1"] * 5),
}


def least_ms(function: Callable[[str], object], text: str) -> float:
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        with contextlib.suppress(SyntaxError, MemoryError, RecursionError):
            function(text)
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


def main() -> None:
    print(f"{'':30} {'bytes':>6} {'ast.parse':>10} {'esprobe':>10}")
    for name, text in TEXTS.items():
        own, library = least_ms(parse, text), least_ms(lambda text: ast.parse(text, mode="eval"), text)
        print(f"{name:30} {len(text):6} {library:7.3f} ms {own:7.3f} ms")


if __name__ == "__main__":
    main()
