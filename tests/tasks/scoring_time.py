"""How long scoring takes on the strings that were found to take longest; the figures of docs/scoring.md.

    python -m tests.tasks.scoring_time [--kb 5] [--repeats 50]

Prints the least of several timings, for what else runs on the machine only adds to one.
"""

import argparse
import re
import time
from collections.abc import Iterator

from esprobe.tasks.countdown.scoring import SCORERS, score

LARGE = 2**53 - 1
GIVEN = [44, 19, 35]


def heavy() -> Iterator[tuple[str, str]]:
    """Expressions of up to 64 numbers up to 2**53, each used once: large integers, fractions, signs on both."""
    yield "powers", "+".join([f"{LARGE}**309"] * 32)
    yield "powers below the limit", "+".join([f"{LARGE}**155"] * 32)
    yield "ratios of powers", "+".join([f"({LARGE}**300)/({LARGE}**300)"] * 16)
    yield "quotients of powers", "+".join([f"({LARGE}**300)//({LARGE}**150)"] * 16)
    yield "a quotient's quotients", f"{LARGE}**308" + f"//({LARGE}**9)" * 31
    yield "quotients by numbers", f"{LARGE}**308" + f"//{LARGE}" * 62
    yield "products of powers", "*".join([f"{LARGE}**22"] * 32)
    yield "sums of products", "+".join([f"{LARGE}**150*{LARGE}**150"] * 16)
    yield "powers beside a larger one", f"({LARGE}**4096)" + "+3**9999" * 31
    yield "six numbers", f"{LARGE}**309+{LARGE}**308-{LARGE}**307"
    yield "fractions", "*".join(f"({LARGE - 2 * i}-1/{LARGE - 2 * i - 1})" for i in range(32))
    yield "negated powers", "+".join(["-(" * 60 + f"{LARGE}**308" + ")" * 60] * 20)
    yield "negated products of powers", "*".join([" - ( " * 35 + f"(({LARGE}**20)**2)" + ")" * 35] * 20)
    yield "negated products of larger powers", "*".join(["+ - (" * 50 + f"(({LARGE}**20)**3)" + ")" * 50] * 12)
    yield "negated fractions", "+".join(["-(" * 75 + "1/3" + ")" * 75] * 20)
    yield "negated sums of powers", "-(" * 150 + f"{LARGE}**308" + f"+{LARGE}**308))))))" * 25
    yield "signs closed one by one", ("- " * 20 + "(") * 63 + "7" + ")*7" * 63
    yield "powers closed one by one", "-(" * 31 + f"{LARGE}**308" + f")*{LARGE}" * 31
    yield "signs", "+".join(["-(" * 24 + "7" + ")" * 24] * 64)
    yield "parentheses", "+".join(["(" * 36 + "7" + ")" * 36] * 64)


def long(size: int) -> Iterator[tuple[str, str]]:
    """Answers of ``size`` characters, most of which are wrong: what a model that repeats itself writes."""
    yield "1+", "1+" * (size // 2) + "44+19+35"
    yield "+19", "+19" * (size // 3)
    yield "nested", "(" * (size // 2) + "44" + ")" * (size // 2)
    yield "nested, numbers right", "(" * (size // 2) + "44" + ")" * (size // 2) + "+19+35"
    yield "calls", "44+19+35" + "()" * (size // 2)
    yield "closed", "44+19+35" + ") " * (size // 2)
    yield "spaced digits", "4 " * (size // 2)
    yield "signs", "44+19+" + "- " * (size // 2) + "35"
    yield "digits", "1" * size
    yield "zeros", "44+19+" + "0" * size + "35"
    yield "times", "44+19+35" + "* " * (size // 2)
    yield "spaces", "44+19+" + " " * size + "35"


def milliseconds(text: str, numbers: list[int], scorer: str, repeats: int) -> float:
    least = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        score(text, numbers, 5, scorer)
        least = min(least, time.perf_counter() - start)
    return least * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kb", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=50)
    asked = parser.parse_args()
    cases = [(name, answer, [int(digits) for digits in re.findall("[0-9]+", answer)]) for name, answer in heavy()]
    cases += [(f"long: {name}", answer, GIVEN) for name, answer in long(asked.kb * 1000)]
    told = []
    for name, answer, numbers in cases:
        text = f"So.</think>\n<answer>{answer}</answer>"
        took = max(milliseconds(text, numbers, scorer, asked.repeats) for scorer in SCORERS)
        told.append((took, f"{took:8.3f} ms  {took / len(text) * 1000:8.4f} ms/KB  {len(text):9,} characters  {name}"))
    for _, line in sorted(told, reverse=True):
        print(line)


if __name__ == "__main__":
    main()
