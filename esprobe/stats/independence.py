"""How many independent draws the rollouts of a condition amount to."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Independence:
    """How alike the draws of a condition are.

    Attributes:
        draws: S, seeds that every problem has.
        correlation: rho, mean over pairs of draws of the correlation of their verdicts over problems; problems
            that are easy or hard for every draw raise it. None if it cannot be told, see ``note``.
        effective: n_eff = S / (1 + (S - 1) rho), draws that would tell as much were they independent; None likewise.
        note: why there is no figure; None otherwise.
    """

    draws: int
    correlation: float | None
    effective: float | None
    note: Literal["one problem", "one draw", "no draw varies"] | None = None
