"""The user's cache folder, and small entries in it that are remembered between runs.

A cache only saves time: where it cannot be read or written, what it would hold is computed again.
"""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """``$ESPROBE_CACHE``, else ``esprobe`` in the user's cache folder."""
    if chosen := os.environ.get("ESPROBE_CACHE"):
        return Path(chosen).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    base = Path(xdg) if os.path.isabs(xdg) else Path(os.path.expanduser("~")) / ".cache"
    return base / "esprobe"


def read_entry(entry: Path) -> dict[str, Any]:
    """What ``write_entry`` wrote there; empty if there is nothing, or it is damaged."""
    try:
        stored = json.loads(entry.read_bytes())
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def write_entry(entry: Path, value: dict[str, Any]) -> None:
    """Write a whole entry or none, also when two processes write it at once."""
    with suppress(OSError):  # a folder that cannot be written costs time and nothing else
        entry.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=entry.parent, prefix=entry.stem)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(value, file)
            os.replace(draft, entry)
        except OSError:
            os.unlink(draft)
            raise
