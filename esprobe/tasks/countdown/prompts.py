"""The text of Countdown prompts.

Owns the prompt styles "chat" and "raw". Does not know chat templates, tokens or models.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

from esprobe.errors import DataError, UsageError
from esprobe.spec import Problem, Prompt
from esprobe.tasks.countdown.rows import Row

STYLES = ("chat", "raw")

SYSTEM = (
    "You are a helpful assistant. You first think about the reasoning process in your mind and then provide "
    "the user with the answer."
)
ASK = "Using the numbers "
EQUALS = ", create an equation that equals "
RULES = (
    ". You can use basic arithmetic operations (+, -, *, /) and each number can only be used once. "
    "Show your work in <think> </think> tags. And return the final answer in <answer> </answer> tags, "
    "for example <answer> (1 + 2) / 3 </answer>."
)
ASSISTANT_PREFIX = "Let me solve this step by step.\n<think>"


def prompt(problem: Problem, style: str) -> Prompt:
    """The prompt of one problem.

    Raises:
        UsageError: no style has that name.
        DataError: the style is "raw" and the problem has no context.
    """
    if style == "chat":
        numbers = [int(number) for number in problem.inputs["numbers"]]
        user = f"{ASK}{numbers}{EQUALS}{problem.inputs['target']}{RULES}"
        return Prompt(messages=(("system", SYSTEM), ("user", user)), assistant_prefix=ASSISTANT_PREFIX)
    if style == "raw":
        context = problem.inputs.get("context")
        if context is None:
            raise DataError(
                f'row {problem.index} has no "context", which is the whole prompt of style raw; '
                "add the field to the file or use --prompt chat"
            )
        return Prompt(messages=(), assistant_prefix=str(context))
    raise UsageError(
        f"countdown has no prompt style {style!r}, so no prompt can be built; use --prompt {' or '.join(STYLES)}"
    )


def chat_digests(rows: Iterable[Row]) -> list[str]:
    """The digest of each row's prompt in style "chat", in a fifth of the time that making the prompts takes.

    Only numbers and target differ between prompts, and neither has a character that JSON escapes, so they are put into
    the JSON of ``Prompt.digest``.
    """
    user = [ASK, EQUALS, RULES]
    blob = json.dumps([[["system", SYSTEM], ["user", "\0".join(user)]], ASSISTANT_PREFIX], separators=(",", ":"))
    before, between, after = blob.split(json.dumps("\0")[1:-1])
    sha256 = hashlib.sha256
    return [sha256(f"{before}{[*numbers]}{between}{target}{after}".encode()).hexdigest() for numbers, target, _ in rows]


def published_context(numbers: Sequence[int], target: str) -> str:
    """A row's context in the published file's wording: no chat turns, numbers as numpy prints an array."""
    width = max(len(str(number)) for number in numbers)
    array = " ".join(f"{number:>{width}}" for number in numbers)
    return f"{SYSTEM}{ASK}[{array}]{EQUALS}{target}{RULES}{ASSISTANT_PREFIX}"
