"""Noise v1: which number is added to which weight.

Owns the map (seed, checkpoint tensor name, element index) -> standard normal float32. Does not know models, devices or
dtypes: engines add the noise, and must agree with this module bit for bit. The definition is in docs/noise.md; it must
not change without a new scheme name, because stored rollouts depend on it.
"""

import hashlib
import threading
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from esprobe.noise.boxmuller import FastBoxMuller

VERSION = 1
SCHEMES = ("iid", "tied")

_BLOCK = 8  # normals per Philox block: four 64-bit words, two normals from each
_WORDS = 4
_CHUNK_BLOCKS = 16384  # 131,072 normals at a time: with fewer, threads mostly wait for the interpreter's lock
_threads = threading.local()


def noise_key(seed: int, name: str, numel: int, scheme: str = "iid") -> int:
    """128-bit Philox key of one tensor's noise.

    Args:
        seed: names the perturbation; 0 <= seed < 2**64.
        name: the tensor's key in the safetensors checkpoint.
        numel: number of elements of the whole tensor; scheme "tied" names the noise by it.
        scheme: "iid" keys by name; "tied" gives tensors of one size the same noise, as published ES code does.

    Raises:
        ValueError: a seed that does not fit, or an unknown scheme.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be in [0, 2**64), got {seed}")
    if scheme not in SCHEMES:
        raise ValueError(f"unknown noise scheme {scheme!r}; known: {', '.join(SCHEMES)}")
    keyed_by = name if scheme == "iid" else f"numel={numel}"
    blob = b"esprobe/1\0" + seed.to_bytes(8, "little") + b"\0" + keyed_by.encode()
    return int.from_bytes(hashlib.sha256(blob).digest()[:16], "little")


def standard_normal(
    seed: int, name: str, start: int, count: int, scheme: str = "iid", *, numel: int | None = None
) -> NDArray[np.float32]:
    """Elements ``start`` to ``start + count - 1`` of a tensor's noise v1.

    Args:
        seed: names the perturbation.
        name: the tensor's key in the safetensors checkpoint.
        start: first row-major flat index in the full checkpoint tensor.
        count: number of elements.
        scheme: "iid" or "tied".
        numel: elements of the full tensor; only "tied" needs it. Default ``start + count``, which is right
            where the slice reaches the tensor's end.

    Returns:
        (count,) float32, standard normal.

    Raises:
        ValueError: negative start or count, a slice past ``numel``, a bad seed or scheme.
    """
    if start < 0 or count < 0:
        raise ValueError(f"start and count must not be negative, got start={start}, count={count}")
    numel = start + count if numel is None else numel
    if start + count > numel:
        raise ValueError(f"elements {start}..{start + count - 1} lie outside a tensor of {numel}")
    out = np.empty(count, np.float32)
    fill_standard_normal([(noise_key(seed, name, numel, scheme), start, out)])
    return out


def fill_standard_normal(pieces: Iterable[tuple[int, int, NDArray[np.float32]]]) -> None:
    """Write noise into arrays: for each (key, start, out) that of ``key`` from element ``start`` on into ``out``.

    Pieces that are small, as the rows of a column shard are, share numpy's calls, each of which costs as much as
    thousands of normals. numpy releases the interpreter lock inside, so this can run in threads.

    Args:
        pieces: out is (count,) float32, of any count.
    """
    chunk = _of_this_thread()
    chunk.clear()  # an exception may have left words in it
    for key, start, out in pieces:
        first_block, skip = divmod(start, _BLOCK)
        # numpy advances the counter before its first block: element block b is drawn at counter b + 1.
        generator = np.random.Philox(key=key, counter=first_block)
        written = 0
        while written < out.size:
            blocks = min(-(-(skip + out.size - written) // _BLOCK), chunk.blocks_free)
            count = min(_BLOCK * blocks - skip, out.size - written)
            chunk.add(generator.random_raw(_WORDS * blocks), skip, out[written : written + count])
            written += count
            skip = 0
    chunk.flush()


def _of_this_thread() -> "_Chunk":
    """One chunk per thread: allocating memory for each tensor would cost a page fault per page."""
    found: _Chunk | None = getattr(_threads, "chunk", None)
    if found is None:
        found = _threads.chunk = _Chunk()
    return found


class _Chunk:
    """A buffer of random words that are turned into normals together, and the arrays that the normals go to."""

    def __init__(self) -> None:
        self._words = np.empty(_WORDS * _CHUNK_BLOCKS, np.uint64)
        self._outs: list[tuple[int, NDArray[np.float32]]] = []
        self._box_muller = FastBoxMuller(self._words.size)
        self.clear()

    def clear(self) -> None:
        self._outs.clear()
        self.blocks_free = _CHUNK_BLOCKS

    def add(self, words: NDArray[np.uint64], skip: int, out: NDArray[np.float32]) -> None:
        """Whole blocks, as many as are free or fewer; ``out`` gets their normals from number ``skip`` on."""
        used = self._words.size - _WORDS * self.blocks_free
        self._words[used : used + words.size] = words
        self._outs.append((2 * used + skip, out))
        self.blocks_free -= words.size // _WORDS
        if not self.blocks_free:
            self.flush()

    def flush(self) -> None:
        """Compute the normals, and write them to their arrays."""
        used = self._words.size - _WORDS * self.blocks_free
        normals = self._box_muller(self._words[:used])
        for first, out in self._outs:
            out[:] = normals[first : first + out.size]
        self.clear()
