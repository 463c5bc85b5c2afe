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

VERSION = 1
SCHEMES = ("iid", "tied")

_BLOCK = 8  # normals per Philox block: four 64-bit words, two normals from each
_WORDS = 4
_CHUNK_BLOCKS = 16384  # 131,072 normals at a time: with fewer, threads mostly wait for the interpreter's lock
_TWO_PI = 2.0 * np.pi
_TO_UNIT = 2.0**-32

# For FastBoxMuller. One unit of the last place of a float64 is 2**-29 of a float32's, so that the low 29 bits say where
# between two float32s a float64 is. 2**15 of those units are 3.6e-12 of the value or more; an error of 2e-15 of the
# radius is less than that wherever sine and cosine exceed 0.00056. They fall below it within 2**19 of a quarter turn.
_TABLE_BITS = 11
_COSINES, _SINES = (f((np.arange(2**_TABLE_BITS) + 0.5) * (_TWO_PI / 2**_TABLE_BITS)) for f in (np.cos, np.sin))
_MIDDLE = 2**28
_MIDDLE_MARGIN = 2**15
_QUARTER = 2**30
_ZERO_MARGIN = 2**19
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


def box_muller(words: NDArray[np.uint64]) -> NDArray[np.float32]:
    """The definition's third step: two normals from each 64-bit word, low half the radius, high half the angle."""
    halves = words.astype("<u8", copy=False).view("<u4")
    radius = _radius(halves[0::2], np.empty(words.size))
    normals = np.empty(2 * words.size, np.float32)
    normals[0::2], normals[1::2] = _turned(radius, halves[1::2])
    return normals


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


class FastBoxMuller:
    """``box_muller`` to the bit, in half the time, for at most ``capacity`` words at once.

    A maths library's sine and cosine take most of the time. Here both come from one table, turned on by the
    rest of the angle (a Taylor series that is exact to float64), with an error below 2e-15 of the radius, which the
    rounding to float32 hides; where it might not, because the value lies that near to the middle between two
    float32s, or its angle that near to a zero of sine or cosine, the definition is computed.
    """

    def __init__(self, capacity: int) -> None:
        self._floats = np.empty((7, capacity))
        self._exact = np.empty(2 * capacity)
        self._integers = np.empty(capacity, np.uint64)
        self._near_zero = np.empty(capacity, np.uint32)
        self._low_bits = np.empty(2 * capacity, np.uint32)
        self._normals = np.empty(2 * capacity, np.float32)

    def __call__(self, words: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Normals of ``words``; they hold until the next call."""
        count = words.size
        halves = words.astype("<u8", copy=False).view("<u4")
        normals = self._normals[: 2 * count]
        exact = self.before_rounding(words)
        normals[:] = exact
        near_zero, low_bits = self._near_zero[:count], self._low_bits[: 2 * count]
        np.add(halves[1::2], _ZERO_MARGIN, out=near_zero)
        near_zero &= _QUARTER - 1
        np.add(exact.view("<u4")[0::2], 2**32 - _MIDDLE + _MIDDLE_MARGIN, out=low_bits)
        low_bits &= 2 * _MIDDLE - 1
        doubtful = np.flatnonzero(near_zero < 2 * _ZERO_MARGIN), np.flatnonzero(low_bits < 2 * _MIDDLE_MARGIN) // 2
        for chosen in doubtful:
            radius = self._floats[0, chosen]
            normals[2 * chosen], normals[2 * chosen + 1] = _turned(radius, halves[2 * chosen + 1])
        return normals

    def before_rounding(self, words: NDArray[np.uint64]) -> NDArray[np.float64]:
        """The normals of ``words`` in float64, with an error of at most 2e-15 of their radius."""
        count = words.size
        radius, rest, square, sine, cosine_less_1, x, y = self._floats[:, :count]
        exact, bits = self._exact[: 2 * count], self._integers[:count]
        signed = bits.view(np.int64)  # indexes, and faster than unsigned to make floats of
        np.bitwise_and(words, 2**32 - 1, out=bits)
        _radius(signed, radius)
        np.right_shift(words, 64 - _TABLE_BITS, out=bits)
        np.take(_COSINES, signed, out=x, mode="clip")
        np.take(_SINES, signed, out=y, mode="clip")
        np.right_shift(words, 32, out=bits)
        bits &= 2 ** (32 - _TABLE_BITS) - 1
        np.subtract(signed, 2 ** (31 - _TABLE_BITS), out=rest)  # from the middle of the table's entry
        rest *= _TWO_PI * _TO_UNIT
        np.multiply(rest, rest, out=square)
        np.multiply(square, 1 / 120, out=sine)
        sine -= 1 / 6
        sine *= square
        sine += 1.0
        sine *= rest
        np.multiply(square, 1 / 24, out=cosine_less_1)
        cosine_less_1 -= 0.5
        cosine_less_1 *= square
        x *= radius
        y *= radius
        np.multiply(x, cosine_less_1, out=square)
        square += x
        np.multiply(y, sine, out=rest)
        np.subtract(square, rest, out=exact[0::2])
        np.multiply(y, cosine_less_1, out=square)
        square += y
        np.multiply(x, sine, out=rest)
        np.add(square, rest, out=exact[1::2])
        return exact


def _radius(low: NDArray[np.uint32 | np.int64], out: NDArray[np.float64]) -> NDArray[np.float64]:
    np.add(low, 0.5, out=out)
    out *= _TO_UNIT
    np.log(out, out=out)
    out *= -2.0
    return np.sqrt(out, out=out)


def _turned(radius: NDArray[np.float64], high: NDArray[np.uint32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    angle = high * _TO_UNIT
    angle *= _TWO_PI
    return radius * np.cos(angle), radius * np.sin(angle)
