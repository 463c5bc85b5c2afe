"""Objects named ``FILE.py:NAME``: tasks and scorers that need no package.

Owns how such a file is loaded: once per process, with its folder on the path so that it can import its neighbours.
"""

import hashlib
import importlib.util
import re
import sys
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from esprobe.errors import TaskError, UsageError
from esprobe.tasks.guarded import describe

_LOCATION = re.compile(r"(?P<path>.+\.py):(?P<name>[^\W\d]\w*)", re.DOTALL)


def is_location(text: str) -> bool:
    """Whether ``text`` has the form ``FILE.py:NAME``."""
    return _LOCATION.fullmatch(text) is not None


def absolute(location: str) -> str:
    """The same with an absolute path, which other processes and other folders understand."""
    path, name = _parts(location)
    return f"{path}:{name}"


def location_path(location: str) -> Path:
    """The file of ``FILE.py:NAME``; any other text is the path itself."""
    return _parts(location)[0] if is_location(location) else Path(location)


def source_of(location: str) -> bytes:
    """The content of the file.

    Raises:
        UsageError: it cannot be read.
    """
    path, _ = _parts(location)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}), so there is no code to load from it; give the path of a Python "
            f"file and a name in it, such as ./my_task.py:load"
        ) from error


def digest_at(location: str) -> str:
    """SHA-256 (hex) of the file.

    Raises:
        UsageError: it cannot be read.
    """
    return hashlib.sha256(source_of(location)).hexdigest()


def load_object(location: str) -> Any:
    """What the file calls NAME.

    Raises:
        TaskError: its code fails.
        UsageError: it cannot be read, or has no such name.
    """
    path, name = _parts(location)
    module = _module(str(path), digest_at(location))
    if not hasattr(module, name):
        offered = sorted(key for key in vars(module) if not key.startswith("_") and callable(getattr(module, key)))
        raise UsageError(
            f"{path} has no {name!r}, so nothing can be loaded from it; it has "
            f"{', '.join(offered[:10]) or 'no function'}"
        )
    return getattr(module, name)


def _parts(location: str) -> tuple[Path, str]:
    found = _LOCATION.fullmatch(location)
    if found is None:
        raise UsageError(f"{location!r} must be FILE.py:NAME, such as ./my_task.py:load")
    return Path(found["path"]).expanduser().absolute(), found["name"]


@cache
def _module(path: str, digest: str) -> Any:
    """The module at ``path``, loaded once for each content that it has had."""
    spec = importlib.util.spec_from_file_location(f"esprobe_file_{digest[:16]}", path)
    assert spec is not None and spec.loader is not None  # the name ends with .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if (folder := str(Path(path).parent)) not in sys.path:
        sys.path.append(folder)
    try:
        with redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise TaskError(
            f"{path} cannot be loaded: {describe(error)}; correct it and run the same command again"
        ) from error
    return module
