"""The path that ES training takes through weight space: which noise each iteration added, and how much of it.

Owns the values that decide a trained model's every bit together with its base (docs/training.md), and the chain of
digests that names it after each iteration. Does not know rewards, or how weights are held.
"""

import hashlib
import struct
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self


class Update(NamedTuple):
    """What one iteration adds to the accumulator, in this order: each coefficient times the noise of its seed.

    Attributes:
        seeds: (N,) names of noise, 0 <= seed < 2**63; the two members of an antithetic pair have the same one.
        coefficients: (N,) float32 values, the sign of a mirrored member included.
    """

    seeds: tuple[int, ...]
    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Trajectory:
    """A training run up to some iteration: with the base model, its weights.

    The accumulator is D_0 = 0 and D_{t+1} = D_t + sum over j of float32(coefficient_j * noise of seed_j), each product
    and each sum rounded to float32, in the order of the update. The model after t updates is round_dtype(b + D_t), b
    being the base weights in the served dtype as float32.

    Attributes:
        recipe: digest of the run's recipe, from which the chain of digests starts.
        noise: the noise scheme.
        scope: regular expression over checkpoint tensor names; None trains every floating-point tensor.
        updates: those of iterations 0, 1, ...
    """

    recipe: str
    noise: str = "iid"
    scope: str | None = None
    updates: tuple[Update, ...] = ()

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Digest after 0, 1, ... updates: equal digests mean equal accumulators. The last one names this trajectory."""
        found = [self.recipe]
        for update in self.updates:
            found.append(_next(found[-1], update))
        return tuple(found)

    @property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) over the recipe and all updates."""
        return self.digests[-1]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the trained model, as that of a checkpoint names its files (``fingerprint_of``)."""
        return fingerprint_of(self.digest)

    def extended(self, update: Update) -> Self:
        """The trajectory with one more update."""
        made = replace(self, updates=(*self.updates, update))
        if "digests" in self.__dict__:  # continue the chain instead of hashing all updates again
            made.__dict__["digests"] = (*self.digests, _next(self.digest, update))
        return made

    def upto(self, iteration: int) -> Self:
        """The trajectory after its first ``iteration`` updates.

        Raises:
            ValueError: it has fewer.
        """
        if not 0 <= iteration <= len(self.updates):
            raise ValueError(f"iteration must be in 0..{len(self.updates)}, got {iteration}")
        return replace(self, updates=self.updates[:iteration])


def fingerprint_of(digest: str) -> str:
    """The fingerprint of the model that a trajectory's digest names; the recipe in it names base and dtype."""
    return hashlib.sha256(f"esprobe/es/1 model {digest}".encode()).hexdigest()


def _next(digest: str, update: Update) -> str:
    # Both in binary: decimal digits of a float32 are a matter of formatting.
    seeds = struct.pack(f"<{len(update.seeds)}Q", *update.seeds)
    coefficients = struct.pack(f"<{len(update.coefficients)}f", *update.coefficients)
    return hashlib.sha256(digest.encode() + b"\0" + seeds + coefficients).hexdigest()
