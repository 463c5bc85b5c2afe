"""SHA-256 of large files, remembered between runs in the user's cache folder.

A checksum is looked up by path, size, modification time and inode, so that a model's weights are read once and not at
every start of every worker. The cache only saves time: where it cannot be read or written, files are hashed again.
"""

import hashlib
import time
from pathlib import Path
from typing import NamedTuple

from esprobe.cache import cache_folder, read_entry, write_entry

LEAST_BYTES = 1 << 20
"""Smaller files are hashed each time: that is as fast as looking them up."""

SETTLED_S = 2.0
"""Age from which on a file's modification time identifies its content: a change within a clock tick keeps the time."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    before = _state(path)
    entry = cache_folder() / "checksums" / f"{hashlib.sha256(before.path.encode()).hexdigest()[:32]}.json"
    if before.size >= LEAST_BYTES and (known := _read(entry, before)) is not None:
        return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    settled = time.time_ns() - before.mtime_ns > SETTLED_S * 1e9
    if before.size >= LEAST_BYTES and settled and _state(path) == before:
        write_entry(entry, before._asdict() | {"sha256": digest})
    return digest


class _State(NamedTuple):
    """What identifies a file's content without reading it."""

    path: str
    size: int
    mtime_ns: int
    inode: int


def _state(path: Path) -> _State:
    found = path.stat()
    return _State(str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ino)


def _read(entry: Path, state: _State) -> str | None:
    stored = read_entry(entry)
    if any(stored.get(key) != value for key, value in state._asdict().items()):
        return None
    digest = stored.get("sha256")
    return digest if isinstance(digest, str) and len(digest) == 64 else None
