"""What lies at a path that somebody typed: in words where the operating system does not let us find out.

Python's own questions (``Path.exists``) raise PermissionError below a folder that may not be entered, or answer no,
depending on its version.
"""

import os
import stat
from pathlib import Path
from typing import Literal

from esprobe.errors import PathError, UsageError

Kind = Literal["nothing", "file", "folder", "other"]
"""Nothing (yet), a regular file, a folder, or a device, a pipe or a socket; links are followed."""


def kind_of(path: Path) -> Kind:
    """What lies at ``path``.

    Raises:
        PathError: that cannot be found out: a folder on the way may not be entered, or the name is impossible.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except PermissionError as err:
        raise PathError(
            f"{path} cannot be reached, because the folder {_closed(path)} may not be entered by this user; change its "
            f"permissions or name another place"
        ) from err
    except (OSError, ValueError) as err:  # a name too long, a loop of links, a null byte
        raise PathError(f"{path} cannot be a file ({getattr(err, 'strerror', err)}); name another one") from err
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def check_output(path: Path, what: str, remedy: str) -> Path:
    """The file that would be written at ``path``, its links followed; call it before minutes are spent on its content.

    Args:
        path: as typed.
        what: what would be written, as the beginning of a sentence: "the report".
        remedy: what to type instead, as its end: "name another place with --output".

    Raises:
        PathError: its folder does not exist, may not be entered or cannot be written.
        UsageError: it is a folder.
    """
    path = Path(os.path.realpath(path))
    match kind_of(path):
        case "folder":
            raise UsageError(f"{what} cannot be written to {path}, which is a folder; name a file in it")
        case "nothing" if kind_of(path.parent) != "folder":
            raise PathError(f"{what} cannot be written to {path}: no folder {path.parent}; create it or {remedy}")
        case "nothing" | "file" if not os.access(path.parent, os.W_OK | os.X_OK):  # files are replaced, not overwritten
            raise PathError(f"{what} cannot be written to {path}: the folder {path.parent} is not writable; {remedy}")
    return path


def _closed(path: Path) -> Path:
    """The first folder on the way to ``path`` that may not be entered."""
    absolute = Path(os.path.abspath(path))
    for folder in reversed(absolute.parents):
        if not os.access(folder, os.X_OK):
            return folder
    return absolute.parent
