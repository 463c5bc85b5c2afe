"""The published data set, fetched once and checked.

Owns the checksum. Does not know what the file holds. The file is not shipped: its licence allows
academic use only.
"""

import hashlib
import os
import tempfile
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

from esprobe.errors import DataError

ES_PAPER_URLS = (
    "https://raw.githubusercontent.com/VsonicV/es-at-scale/523afc87a4efc845ae5ea9aa65c64e2e57e0643e/"
    "countdown/data/countdown.json",
    "https://raw.githubusercontent.com/jbejjani2022/evolutionary-alignment/bfdaf87faff62380c213b3bf91ae2d3f92c8919b/"
    "countdown/data/countdown.json",
)
"""Pinned to commits: a branch's file can move (the first's did, in June 2026) or change. Both hold the same file."""
ES_PAPER_SHA256 = "f1b5c5865d9f4bc517991740175f14f6869a2f8e4b00f8602f4655fdc6ccd8ba"
ES_PAPER_FILE = "es-paper-countdown.json"

TIMEOUT_S = 30.0
MOST_BYTES = 1 << 26


def fetch(urls: Sequence[str], sha256: str, destination: Path, timeout_s: float = TIMEOUT_S) -> Path:
    """``destination``, downloaded unless it is there already with the right checksum.

    Args:
        urls: addresses of the same file; each is tried only if those before it failed or gave another file.
        sha256: the file's SHA-256, 64 hexadecimal digits.
        destination: where the file is kept.
        timeout_s: seconds that one address may stay silent.

    Raises:
        DataError: no address gives the file, or it cannot be kept.
    """
    by_hand = f"download it by hand (SHA-256 {sha256}) and give --data its path"
    # A file that cannot be read is downloaded again; keeping it then names a folder that cannot be used.
    with suppress(OSError):
        if destination.is_file() and _sha256(destination.read_bytes()) == sha256:
            return destination
    content = _content(urls, sha256, timeout_s, by_hand)
    try:
        _write(content, destination)
    except OSError as error:
        raise DataError(
            f"the published data set cannot be kept in {destination.parent} ({error.strerror or error}); "
            f"set ESPROBE_CACHE to a folder you can write, or {by_hand}"
        ) from None
    return destination


def _content(urls: Sequence[str], sha256: str, timeout_s: float, by_hand: str) -> bytes:
    failures = []
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as response:
                content: bytes = response.read(MOST_BYTES)
        except (OSError, HTTPException) as error:
            failures.append(f"{url} ({_reason(error)})")
            continue
        if (found := _sha256(content)) == sha256:
            return content
        failures.append(f"{url} (another file, SHA-256 {found}, so results would not be comparable)")
    raise DataError(f"the published data set could not be downloaded from {' or '.join(failures)}; {by_hand}")


def _reason(error: OSError | HTTPException) -> str:
    if isinstance(error, HTTPError):
        error.close()
    elif isinstance(error, URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(content: bytes, destination: Path) -> None:
    """Write a whole file or none, also when two processes fetch at once."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=destination.parent, prefix=destination.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, destination)
    except BaseException:
        os.unlink(name)
        raise
