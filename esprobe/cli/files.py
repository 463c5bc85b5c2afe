"""Writing documents: all or nothing, and never over a database, a link or a device."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from esprobe.atomic_file import replacing
from esprobe.errors import StoreError, UsageError


def write(path: Path, document: str, beside: Mapping[str, bytes], database: Path) -> None:
    """A document, and files beside it by their names.

    A link is followed and the file that it points to is replaced; a pipe or a device gets the document. Files
    beside the document are made anew or replace ordinary files. Everything is checked before anything is written.

    Raises:
        UsageError: a name belongs to the database, or to what is no ordinary file.
        StoreError: a file cannot be written.
    """
    path = check_target(path, database)
    check_figures(path, beside, database)
    for name, content in beside.items():
        _replace(path.with_name(name), content)
    _replace(path, document.encode())


def check_target(path: Path, database: Path) -> Path:
    """The file that a document would be written to, its links followed; call it before minutes are spent on it.

    Raises:
        UsageError: it belongs to the database, or is a folder.
        StoreError: its folder does not exist or cannot be written.
    """
    path = path.resolve()
    refuse_database(path, "--output", database)
    if not path.parent.is_dir():
        reason, remedy = f"there is no folder {path.parent}", "create it or "
    elif not path.exists() and not os.access(path.parent, os.W_OK):
        reason, remedy = f"nothing can be written in {path.parent}", ""
    else:
        return path
    raise StoreError(f"the report cannot be written to {path} ({reason}); {remedy}name another place with --output")


def check_figures(path: Path, names: Iterable[str], database: Path) -> None:
    """Check the files of these names beside a document; call it before they are drawn.

    Raises:
        UsageError: one belongs to a database, or is a link, a folder or a device.
    """
    for other in (path.resolve().with_name(name) for name in names):
        if other.is_symlink() or (other.exists() and not other.is_file()):
            raise UsageError(
                f"the figure {other} would replace a link, folder or device; move that away, name another --output, "
                "or use --no-figures"
            )
        refuse_database(other, "the figure", database)


def takes_files_beside(path: Path) -> bool:
    """Whether a document of that name lies in a folder with others, which no pipe or device does."""
    return path.resolve().is_file() or not path.resolve().exists()


def refuse_database(path: Path, what: str, database: Path) -> None:
    """Refuse to write over a database, this one or another, or the files that belong to it.

    Raises:
        UsageError: ``path`` is one of them, or a folder.
    """
    path = path.resolve()
    if path.is_dir():
        raise UsageError(f"{what} {path} is a folder; name a file in it")
    own = path.name.removesuffix("-wal").removesuffix("-shm").removesuffix(".lock") == database.resolve().name
    if (own and path.parent == database.resolve().parent) or _is_sqlite(path):
        raise UsageError(f"{what} {path} is a database or belongs to one, which would be destroyed; name another file")


def _is_sqlite(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError as err:
        raise StoreError(f"{path} is there and cannot be looked into ({err.strerror}); name another file") from err


def _replace(path: Path, content: bytes) -> None:
    """A reader never sees half a file, and a failed write leaves the old one."""
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)  # a pipe or a device: there is nothing to replace
            return
        with replacing(path) as draft:
            draft.write_bytes(content)
    except OSError as err:
        raise StoreError(
            f"the report cannot be written to {path} ({err.strerror}); name another place with --output"
        ) from err
