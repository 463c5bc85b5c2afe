"""Writing documents atomically, and never over a database."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from esprobe.atomic_file import replacing
from esprobe.errors import StoreError, UsageError
from esprobe.paths import check_output, kind_of


def write(path: Path, document: str, beside: Mapping[str, bytes], database: Path) -> None:
    """Write a document, and other files into its folder (``beside``: contents by file name).

    If ``path`` is a link, the file that it points to is replaced; to a pipe or a device the document is written. The
    other files are created or replace regular files. Everything is checked before anything is written.

    Raises:
        UsageError: a name belongs to the database, or to something other than a regular file.
        StoreError: a file cannot be written.
    """
    path = check_target(path, database)
    check_figures(path, beside, database)
    for name, content in beside.items():
        _replace(path.with_name(name), content)
    _replace(path, document.encode())


def check_target(path: Path, database: Path) -> Path:
    """Check that a document can be written to ``path``, and resolve links; call this before a slow computation.

    Raises:
        UsageError: it belongs to the database, or is a folder.
        StoreError: its folder does not exist or cannot be written.
    """
    path = check_output(path, "the report", "name another place with --output")
    refuse_database(path, "--output", database)
    return path


def check_figures(path: Path, names: Iterable[str], database: Path) -> None:
    """Check that figures with these names can be written beside a document; call this before drawing them.

    Raises:
        UsageError: one belongs to a database, or is a link, a folder or a device.
    """
    for other in (path.resolve().with_name(name) for name in names):
        if other.is_symlink() or kind_of(other) in ("folder", "other"):
            raise UsageError(
                f"the figure {other} would replace a link, folder or device; move that away, name another --output, "
                "or use --no-figures"
            )
        refuse_database(other, "the figure", database)


def takes_files_beside(path: Path) -> bool:
    """Whether other files can be written beside ``path``, which is pointless for a pipe or a device."""
    return kind_of(path) in ("file", "nothing")


def refuse_database(path: Path, what: str, database: Path) -> None:
    """Refuse to write over a database, this one or another, or the files that belong to it.

    Raises:
        UsageError: ``path`` is such a file, or a folder.
    """
    path = path.resolve()
    if kind_of(path) == "folder":
        raise UsageError(f"{what} {path} is a folder; name a file in it")
    own = path.name.removesuffix("-wal").removesuffix("-shm").removesuffix(".lock") == database.resolve().name
    if (own and path.parent == database.resolve().parent) or _is_sqlite(path):
        raise UsageError(f"{what} {path} is a database or belongs to one, which would be destroyed; name another file")


def _is_sqlite(path: Path) -> bool:
    if kind_of(path) != "file":
        return False
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError as err:
        raise StoreError(
            f"{path} exists but cannot be read ({err.strerror}), so it may be a database; name another file"
        ) from err


def _replace(path: Path, content: bytes) -> None:
    """Replace a file atomically: a failed write leaves the old one."""
    try:
        if kind_of(path) == "other":
            path.write_bytes(content)  # a pipe or a device: there is nothing to replace
            return
        with replacing(path) as draft:
            draft.write_bytes(content)
    except OSError as err:
        raise StoreError(
            f"the report cannot be written to {path} ({err.strerror}); name another place with --output"
        ) from err
