"""ES v1's update and its trained weights, on slices of a checkpoint tensor: the reference for engines.

Owns the order of roundings (docs/noise.md, "Training"), which engines must follow bit for bit. Seeds and coefficients
come from ``esprobe.trajectory``.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from esprobe.noise import standard_normal


def add_update(
    accumulator: NDArray[np.float32],
    seeds: Sequence[int],
    coefficients: Sequence[float],
    name: str,
    start: int = 0,
    scheme: str = "iid",
    *,
    numel: int | None = None,
) -> None:
    """Add one iteration's update to elements ``start``... of a tensor's accumulator, in place.

    Args:
        accumulator: (count,) float32, elements ``start`` to ``start + count - 1`` of D in row-major order.
        seeds: (N,) names of noise, in the order of the sum.
        coefficients: (N,) what each noise is multiplied by, rounded to float32.
        name: the tensor's key in the safetensors checkpoint.
        start: flat index of the first element in the full checkpoint tensor.
        scheme: the noise scheme.
        numel: elements of the full tensor; default ``start + count``.

    Raises:
        ValueError: as ``standard_normal`` does, or if there is not one coefficient for each seed.
    """
    for seed, coefficient in zip(seeds, coefficients, strict=True):
        noise = standard_normal(seed, name, start, accumulator.size, scheme, numel=numel)
        accumulator += np.float32(coefficient) * noise


def evolved(base: NDArray[np.float32], accumulator: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32(b + D): the trained weights before they are rounded to the served dtype.

    Args:
        base: the base weights in the served dtype, as float32.
        accumulator: D of the same elements.
    """
    return base + accumulator


def by_noise(seeds: Sequence[int], coefficients: Sequence[float]) -> Iterator[tuple[int, list[float]]]:
    """Consecutive members with one seed, such as an antithetic pair, together: the seed, and their coefficients.

    Their noise is then drawn once; products and sums stay one for each member, in order.
    """
    for seed, group in groupby(zip(seeds, coefficients, strict=True), key=itemgetter(0)):
        yield seed, [coefficient for _, coefficient in group]
