"""Noise v1: which number is added to which weight.

Owns the map (seed, checkpoint tensor name, element index) -> standard normal float32. Does not know models,
devices or dtypes: engines add the noise, this module is the reference they must equal. The definition is in
docs/noise.md; nothing here may change without a new scheme name, because stored rollouts depend on it.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

VERSION = 1
SCHEMES = ("iid", "tied")

_BLOCK = 8  # normals per Philox block: four 64-bit words, two normals from each
_WORDS = 4
_CHUNK_BLOCKS = 2048  # 16,384 normals at a time keep the float64 intermediates in a core's cache
_TWO_PI = 2.0 * np.pi
_TO_UNIT = 2.0**-32


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
    fill_standard_normal(noise_key(seed, name, numel, scheme), start, out)
    return out


def fill_standard_normal(key: int, start: int, out: NDArray[np.float32]) -> None:
    """Write the noise of ``key`` from element ``start`` on into ``out``, a 1-D float32 array.

    numpy releases the interpreter lock inside, so tensors can be filled in threads.
    """
    first_block, skip = divmod(start, _BLOCK)
    blocks_left = -(-(skip + out.size) // _BLOCK)
    # numpy advances the counter before its first block: element block b is drawn at counter b + 1.
    generator = np.random.Philox(key=key, counter=first_block)
    box_muller = _BoxMuller(min(blocks_left, _CHUNK_BLOCKS))
    written = 0
    while blocks_left:
        blocks = min(blocks_left, _CHUNK_BLOCKS)
        normals = box_muller(generator.random_raw(_WORDS * blocks))[skip:]
        count = min(normals.size, out.size - written)
        out[written : written + count] = normals[:count]
        written += count
        blocks_left -= blocks
        skip = 0


class _BoxMuller:
    """Two normals from each 64-bit word: low half the radius, high half the angle. float64 until the end.

    Computes in buffers of its own, the same for every chunk: memory that is new each time has to be mapped each time,
    which took as long as the arithmetic.
    """

    def __init__(self, blocks: int) -> None:
        self._radius, self._angle, self._turned = np.empty((3, _WORDS * blocks))
        self._normals = np.empty(_BLOCK * blocks, np.float32)

    def __call__(self, words: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Normals of ``words``, valid until the next call."""
        count = words.size
        radius, angle, turned = self._radius[:count], self._angle[:count], self._turned[:count]
        normals = self._normals[: 2 * count]
        halves = words.astype("<u8", copy=False).view("<u4")
        np.add(halves[0::2], 0.5, out=radius)
        radius *= _TO_UNIT
        np.log(radius, out=radius)
        radius *= -2.0
        np.sqrt(radius, out=radius)
        np.multiply(halves[1::2], _TO_UNIT, out=angle)
        angle *= _TWO_PI
        np.multiply(radius, np.cos(angle, out=turned), out=normals[0::2], casting="same_kind")
        np.multiply(radius, np.sin(angle, out=turned), out=normals[1::2], casting="same_kind")
        return normals
