"""Checksums that are remembered: when a file is read again, and when it is not."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from esprobe.engines.checksums import LEAST_BYTES, file_sha256

CONTENT = b"weights " * (LEAST_BYTES // 8)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESPROBE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path: Path, cache: Path) -> Path:
    """A file that was last written an hour ago."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(CONTENT)
    age(path)
    return path


def age(path: Path, seconds: int = 3600) -> None:
    when = time.time_ns() - seconds * 10**9
    os.utime(path, ns=(when, when))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def overwrite(path: Path, content: bytes) -> None:
    """Other content in the same inode, which only its modification time shows."""
    with path.open("r+b") as file:
        file.write(content)


def test_a_second_call_does_not_read_the_file(weights: Path) -> None:
    first, times = file_sha256(weights), weights.stat()
    assert first == sha256(weights)
    overwrite(weights, b"X")
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # no honest change leaves all of this as it was
    assert file_sha256(weights) == first != sha256(weights)


def changed_in_place(path: Path) -> None:
    overwrite(path, b"X")


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"X" + CONTENT[1:])
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


def grown(path: Path) -> None:
    times = path.stat()
    path.write_bytes(CONTENT + b"X")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("change", [changed_in_place, replaced, grown])
def test_a_changed_file_is_hashed_again(weights: Path, change: Callable[[Path], None]) -> None:
    before = file_sha256(weights)
    change(weights)
    assert file_sha256(weights) == sha256(weights) != before


def test_a_file_that_was_just_written_is_not_remembered(weights: Path, cache: Path) -> None:
    os.utime(weights)
    assert file_sha256(weights) == sha256(weights)
    assert not cache.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sha256": 7}', b"\xff"])
def test_a_damaged_entry_is_ignored(weights: Path, cache: Path, content: bytes) -> None:
    file_sha256(weights)
    (entry,) = (cache / "checksums").iterdir()
    entry.write_bytes(content)
    assert file_sha256(weights) == sha256(weights)
    assert entry.read_bytes() != content  # and written anew


def test_a_folder_that_cannot_be_written_costs_time_only(weights: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert file_sha256(weights) == file_sha256(weights) == sha256(weights)
