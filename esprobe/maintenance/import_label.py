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
        UsageError: it is empty, a number, one of ``_WORDS`` in any case, or the name of a sampled condition, of an
            iteration or trained model, or of a curve of guessing.
    """
    plain = label.strip()
    name, _, value = (part.strip() for part in plain.partition("="))
    if not plain:
        reason = "it is empty"
    elif _is_number(plain):
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
        return
    raise _refused(label, reason)


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
