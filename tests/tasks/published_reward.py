"""The ES paper's Countdown reward, restated from what its public code does, `eval` included.

An oracle for the tests only. It shares no code and no idea with esprobe's scorer: regular expressions where that one
searches, Python's own parser and operators where that one has its own.
"""

import re
import signal
import warnings
from contextlib import contextmanager

THINK = re.compile(r"<think>.*?</think>", re.DOTALL)
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
WHOLE = re.compile(r"^<think>.*?</think>\n<answer>.*?</answer>$", re.DOTALL)
ALLOWED = re.compile(r"^[0-9+\-*/() ]+$")


class DoesNotEnd(BaseException):
    """The published code would still be computing. Not an Exception: it must not count as a caught error."""


@contextmanager
def limited(seconds):
    """Python's long multiplication looks for signals, so that an alarm ends what would run for ever."""

    def stop(signum, frame):
        raise DoesNotEnd

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def format_part(completion):
    text = "<think>" + completion
    if WHOLE.match(text):
        return 1.0
    part = 0.0
    if THINK.search(text):
        part += 0.1
    if ANSWER.search(text):
        part += 0.5
    return part


def answer_part(completion, numbers, target, seconds=0.2):
    """1.0 or 0.0. Raises DoesNotEnd, and ValueError where the published code dies of a number's length."""
    blocks = ANSWER.findall(completion)
    if not blocks or not blocks[-1] or not ALLOWED.match(blocks[-1]):
        return 0.0
    expression = blocks[-1]
    if sorted(int(digits) for digits in re.findall(r"\d+", expression)) != sorted(numbers):
        return 0.0
    try:
        value = evaluated(expression, seconds)
        return 1.0 if abs(float(value) - float(target)) < 1e-5 else 0.0
    except Exception:
        return 0.0


def evaluated(expression, seconds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 5(3): SyntaxWarning: 'int' object is not callable
        if "**" not in expression:
            return eval(expression, {"__builtins__": None}, {})
        with limited(seconds):
            return eval(expression, {"__builtins__": None}, {})


def reward(completion, numbers, target, seconds=0.2):
    return format_part(completion) * 0.1 + answer_part(completion, numbers, target, seconds)
