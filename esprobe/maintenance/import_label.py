"""Which names a condition of imported rollouts may have: those that name nothing else."""

from collections.abc import Sequence

from esprobe.errors import UsageError
from esprobe.records import StoredCondition
from esprobe.spec import Condition, Kind

_WORDS = {*Kind, "null", "none", "true", "false"}
"""Words that commands and files give another meaning."""


def check_label(label: str, guessing: str | None) -> None:
    """Refuse a label that is another name already, whatever the database holds.

    Args:
        label: as typed.
        guessing: what tables call the task's curve of guessing, if it has one.

    Raises:
        UsageError: it is empty, a number, one of ``_WORDS`` in any case, or the name of a sampled condition or of the
            curve of guessing.
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
    elif guessing is not None and plain.casefold() == guessing.casefold():
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
