"""What a file is that holds no JSON, as far as its beginning and its name tell, and what to do with it instead."""

import shlex
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from pathlib import Path

from esprobe.maintenance.import_forms.json_lines import GZIP
from esprobe.maintenance.import_forms.zip_members import ZIP

_BYTES = 4096
_SQLITE = b"SQLite format 3\0"
_GZIP_WINDOW = 31
"""What zlib calls a stream in the format of gzip."""


def told(path: Path, forms: str) -> str | None:
    """What to say of a file whose first record is not JSON; None if it is text like that of a file of JSON.

    Args:
        path: the file.
        forms: the forms that are read, for people.
    """
    with path.open("rb") as file:
        begin = file.read(_BYTES)
    where = shlex.quote(str(path))
    if packed := begin.startswith(GZIP):
        try:
            begin = zlib.decompressobj(_GZIP_WINDOW).decompress(begin, _BYTES)
        except zlib.error:
            return None
    if packed and begin.startswith(ZIP):
        return (
            f"{path} is a zip file inside gzip, and logs of inspect_ai are zip files already; unpack it with: "
            f"gzip -dc {where} > log.eval, and import log.eval. Read are: {forms}"
        )
    if begin.startswith(_SQLITE):
        return (
            f"{path} is a database of SQLite; one of esprobe's is combined with another by esprobe merge, or gives "
            f"lines to import by: esprobe export --db {where} --condition LABEL -o rollouts.jsonl. Read are: {forms}"
        )
    if not begin.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and _is_binary(begin):
        return f"{path} is a binary file of no form that is read; name the rollouts themselves. Read are: {forms}"
    if path.suffix.lower() in (".yaml", ".yml"):
        return (
            f"{path} is YAML, and YAML is read as a folder of Large Language Monkeys, with a file per problem; name "
            f"its folder: {shlex.quote(str(path.parent))}"
        )
    return None


def _is_binary(begin: bytes) -> bool:
    if b"\0" in begin:
        return True
    try:
        getincrementaldecoder("utf-8")().decode(begin)  # the last character may be cut off
    except UnicodeDecodeError:
        return True
    return False
