"""Files that appear whole or not at all: written under a name of their own beside the target, then moved over it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BESIDE = ("-journal", "-wal", "-shm", ".lock")
"""What a database that is written leaves beside it."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """An empty file to write, which takes the place of ``target`` at the end of the block; removed if the block raises.

    Its name is new, so that no file of the user's is overwritten, and two commands do not write one.

    Raises:
        OSError: it cannot be made, or not moved.
    """
    draft = target.with_name(f".esprobe-{secrets.token_hex(8)}.part")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))  # readable as other new files are
    try:
        yield draft
        os.replace(draft, target)
    finally:
        for suffix in ("", *_BESIDE):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)
