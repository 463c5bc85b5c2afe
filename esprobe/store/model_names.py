"""Names that people give to models, by which tables call them."""

import re
import zlib
from collections.abc import Sequence
from typing import Any

from esprobe.errors import StoreError, UsageError
from esprobe.spec import Kind
from esprobe.store.database import damaged
from esprobe.store.reader import RolloutStore

_MIGRATION = "m006_tasks"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,31}")


def check_model_name(name: str) -> None:
    """Refuse a name that could be taken for something else in a label or on a command line.

    Raises:
        UsageError: it has other characters or more than 32, is a number, or means a kind of condition.
    """
    why = ""
    if name.isdigit():
        why = ", because a number is the id of a condition"
    elif name in set(Kind):
        why = ", because this word means a kind of condition"
    if why or not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r} cannot name a model in tables{why}; use up to 32 letters, digits and . _ + @ -, "
            f"beginning with a letter or digit, such as base or es-500"
        )


def model_names(store: RolloutStore) -> dict[str, str]:
    """The names that were given to models, by fingerprint; none in a file of an older esprobe.

    Raises:
        StoreError: one has changed since it was written: the file is damaged.
    """
    rows = store.rows_since(_MIGRATION, "SELECT fingerprint, name, checksum FROM model_name ORDER BY id")
    for fingerprint, name, checksum in rows:
        if checksum != name_checksum(fingerprint, name):
            raise StoreError(damaged(store.path, f"the name {name!r} of a model does not match its checksum"))
    return {fingerprint: name for fingerprint, name, _ in rows}


def whole_name(columns: Sequence[Any]) -> tuple[str, str] | None:
    """Fingerprint and name from the columns of a row without its id; None if they do not match its checksum."""
    fingerprint, name, checksum = columns
    texts = isinstance(fingerprint, str) and isinstance(name, str)
    return (fingerprint, name) if texts and checksum == name_checksum(fingerprint, name) else None


def name_checksum(fingerprint: str, name: str) -> int:
    """The checksum of a row."""
    return zlib.crc32(f"{fingerprint}\n{name}".encode())
