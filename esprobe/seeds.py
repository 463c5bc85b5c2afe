"""Seeds are derived from what a draw is, never from when or where it runs."""

import hashlib
from json.encoder import encode_basestring_ascii as quoted


def h64(*path: str | int) -> int:
    """63-bit seed of a path of names and numbers (63: SQLite's and torch's integers are signed).

    The first 8 bytes of BLAKE2b over the path as JSON, big-endian, shifted right by one.
    """
    # What json.dumps writes without spaces, in a fifth of its time: millions of seeds are derived.
    return _h64(",".join([quoted(part) if isinstance(part, str) else str(part) for part in path]))


def _h64(path: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"[{path}]".encode(), digest_size=8).digest(), "big") >> 1


def sampling_seed(data_digest: str, problem_index: int, condition_digest: str, seed: int) -> int:
    """Seed of one temperature draw's token noise.

    It differs between problems (equal seeds would give two problems the same token noise) and between
    conditions, and does not depend on how many samples were asked for.
    """
    return _h64(f"{quoted(data_digest)},{problem_index},{quoted(condition_digest)},{seed}")  # h64, sooner
