"""The published data set, fetched once and checked.

Owns the cache and the checksum. Does not know what the file holds. The file is not shipped: its licence allows
academic use only.
"""

import hashlib
import os
import tempfile
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

from esprobe.errors import DataError

ES_PAPER_URL = "https://raw.githubusercontent.com/VsonicV/es-fine-tuning-paper/main/countdown/data/countdown.json"
ES_PAPER_SHA256 = "f1b5c5865d9f4bc517991740175f14f6869a2f8e4b00f8602f4655fdc6ccd8ba"
ES_PAPER_FILE = "es-paper-countdown.json"

TIMEOUT_S = 30.0
MOST_BYTES = 1 << 26


def cache_folder() -> Path:
    """``$ESPROBE_CACHE``, else ``esprobe`` in the user's cache folder."""
    if chosen := os.environ.get("ESPROBE_CACHE"):
        return Path(chosen).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    base = Path(xdg) if os.path.isabs(xdg) else Path("~/.cache").expanduser()
    return base / "esprobe"


def fetch(url: str, sha256: str, destination: Path, timeout_s: float = TIMEOUT_S) -> Path:
    """``destination``, downloaded from ``url`` unless it is there already with the right checksum.

    Raises:
        DataError: the download fails, or what arrived is another file.
    """
    by_hand = f"download {url} by hand and give --data its path"
    try:
        if destination.is_file() and _sha256(destination.read_bytes()) == sha256:
            return destination
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            content: bytes = response.read(MOST_BYTES)
    except (OSError, HTTPException) as error:
        reason = _reason(error)
        raise DataError(f"the published data set could not be downloaded ({reason}); {by_hand}") from None
    if (found := _sha256(content)) != sha256:
        raise DataError(
            f"{url} gave a file with SHA-256 {found}, not {sha256}, so results would not be comparable; {by_hand}"
        )
    try:
        _write(content, destination)
    except OSError as error:
        raise DataError(
            f"the published data set cannot be kept in {destination.parent} ({error.strerror or error}); "
            f"set ESPROBE_CACHE to a folder you can write, or {by_hand}"
        ) from None
    return destination


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
