"""Which names a condition of imported rollouts may have: those that name nothing else."""

import re
from collections.abc import Collection, Sequence

from esprobe.errors import UsageError
from esprobe.records import StoredCondition
from esprobe.spec import Condition, Kind

_WORDS = {*Kind, "null", "none", "true", "false"}
"""Words that commands and files give another meaning."""


_TRAINED = re.compile(r".+\.db:\w+|.+:\w+@[0-9]+", re.IGNORECASE)
"""The model that a training run leads to, as ``--model`` names it."""

_ITERATION = re.compile(r"iteration\s+[0-9,]+(\s*\(mirrored\))?", re.IGNORECASE)


def check_label(label: str, guessing: Collection[str]) -> None:
    """Refuse a label that is another name already, whatever the database holds.

    Args:
        label: as typed.
        guessing: what tables call the curves of guessing of tasks.

    Raises:
        UsageError: it is empty, cannot be typed as it is printed, or has a part that is a number, one of ``_WORDS`` in
            any case, or the name of a sampled condition, of an iteration or trained model, or of a curve of guessing.
    """
    if not label.strip():
        raise _refused(label, "it is empty")
    if not label.isprintable():
        raise _refused(label, "it holds a character that tables print in another way, such as a tab or a line break")
    for part in _parts(label.strip()):
        if (reason := _meaning(part, guessing)) is not None:
            raise _refused(label, reason if part == label.strip() else f"of its part {part!r}, {reason}")
    if label.strip().startswith("-"):
        raise _refused(label, "it begins with a hyphen, as options of commands do")


def _parts(label: str) -> list[str]:
    """A label, and what reads as the parts of another condition's: by commas, without fields in parentheses at the end.

    See ``means_condition`` of esprobe/records/labels.py.
    """
    ends = [one.start() for one in re.finditer(r"\s+\(", label)] if label.endswith(")") else []
    parts = [part.strip() for head in (label, *(label[:end] for end in ends)) for part in head.split(",")]
    return [label, *(part for part in parts if part)]


def _meaning(plain: str, guessing: Collection[str]) -> str | None:
    """What else a text means, as a reason to refuse it; None if nothing."""
    name, _, value = (part.strip() for part in plain.partition("="))
    if _is_number(plain):
        reason = "a number is the id of a condition"
    elif plain.casefold() in _WORDS:
        reason = "this word has another meaning in commands and files"
    elif name.casefold() in ("t", "sigma") and _is_number(value):
        reason = "conditions that esprobe samples are called so"
    elif _ITERATION.fullmatch(plain):
        reason = "the iterations of a training run are called so"
    elif _TRAINED.fullmatch(plain):
        reason = "models of training runs are called so"
    elif plain.casefold() in {name.casefold() for name in guessing}:
        reason = "the curve of guessing is called so"
    else:
        return None
    return reason


def check_is_free(label: str, condition: Condition, stored: Sequence[StoredCondition]) -> None:
    """Refuse a label that another condition of the database has.

    Raises:
        UsageError: it has.
    """
    for other in stored:
        if other.condition.label.casefold() == label.strip().casefold() and other.condition.digest != condition.digest:
            raise _refused(label, f"condition {other.id} of this database, which is another one, has it already")


def _refused(label: str, reason: str) -> UsageError:
    return UsageError(
        f'--label {label!r} would not name these rollouts alone: {reason}; use a label such as "their model"'
    )


def _is_number(text: str) -> bool:
    for reads in (float, lambda digits: int(digits, 0)):
        try:
            reads(text)
        except ValueError:
            continue
        return True
    return False
