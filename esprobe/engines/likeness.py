"""Whether weights can have come from a base by training: what shapes cannot show.

Training moves weights little. A matrix of the right shape that is transposed, or another model's, is far from the base:
it is nearer to the base's transpose, or not correlated with the base at all.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch

LEAST_CORRELATION = 0.5
"""Of independent weights it is 0. With the published ES code's defaults (step 0.0005, 30 members) 500 updates move a
weight by 0.0005 * sqrt(500 / 30) = 0.002, a tenth of the usual 0.02: 0.995."""
_LEAST_ELEMENTS = 256
"""Correlations of fewer elements, and those of vectors, say little: norms are nearly constant, biases may be tiny."""
_STEPS = 10
"""How much further than matrices a vector without likeness may have moved: optimisers move all weights alike."""
_SPAN = 1 << 24
"""Elements that are compared at a time."""


@dataclass(frozen=True)
class Likeness:
    """One tensor beside the base's.

    Attributes:
        name: the checkpoint's name of it.
        relative: norm of the change over the norm of the base's; infinite if the base's are zeros.
        correlation: Pearson's correlation of both; None if one of them is constant.
        step: root mean square of the change.
        size: root mean square of the base's values.
        turned: norm of the difference to the base's transpose over the norm of the base's; None if it is not square.
        judged: whether it is a matrix, large enough for the correlation to say something.
    """

    name: str
    relative: float
    correlation: float | None
    step: float
    size: float
    turned: float | None
    judged: bool


def likeness(name: str, base: torch.Tensor, new: torch.Tensor) -> Likeness:
    """Compare a tensor with the base's, which has the same shape."""
    count = base.numel()
    square = base.dim() == 2 and base.shape[0] == base.shape[1] > 1
    if torch.equal(base, new):
        size = math.sqrt(_sum_of_squares(base) / max(1, count))
        return Likeness(name, 0.0, 1.0, 0.0, size, None, base.dim() > 1)
    sums = [0.0] * 6
    for old, now in zip(_pieces(base), _pieces(new), strict=True):
        values = (old.sum(), now.sum(), old @ old, now @ now, old @ now, (now - old) @ (now - old))
        sums = [held + float(value) for held, value in zip(sums, values, strict=True)]
    old_sum, new_sum, old_squares, new_squares, products, change = sums
    spread = (old_squares - old_sum**2 / count, new_squares - new_sum**2 / count)
    tiny = (1e-9 * old_squares, 1e-9 * new_squares)
    varies = spread[0] > tiny[0] and spread[1] > tiny[1]
    return Likeness(
        name,
        math.sqrt(change / old_squares) if old_squares else math.inf,
        (products - old_sum * new_sum / count) / math.sqrt(spread[0] * spread[1]) if varies else None,
        math.sqrt(change / count),
        math.sqrt(old_squares / count),
        math.sqrt(_sum_of_squares(new.float() - base.float().T) / old_squares) if square and old_squares else None,
        base.dim() > 1 and count >= _LEAST_ELEMENTS and spread[0] > tiny[0],
    )


def unlike(compared: Sequence[Likeness]) -> list[str]:
    """A sentence part about every tensor that training cannot have made from the base."""
    matrices = [one for one in compared if one.judged]
    furthest = max((one.step for one in matrices), default=0.0)
    usual = median([one.size for one in compared if one.judged] or [0.0])
    allowed = _STEPS * max(furthest, 0.01 * usual)
    said = []
    for one in compared:
        correlation = 0.0 if one.correlation is None else one.correlation
        if one.turned is not None and one.turned < one.relative:
            said.append(
                f"{one.name} is nearer to the base's transpose (relative difference {one.turned:.3g}) than to the base "
                f"({one.relative:.3g})"
            )
        elif one.judged and correlation < LEAST_CORRELATION:
            said.append(f"{one.name} has correlation {correlation:.2f} with the base's")
        elif not one.judged and correlation < LEAST_CORRELATION and one.step > allowed:
            said.append(f"{one.name} moved by {one.step:.3g} (root mean square), matrices by at most {furthest:.3g}")
    return said


def _pieces(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """A tensor in float64, in pieces: sums of squares of a billion elements lose nothing that matters."""
    return (piece.double() for piece in tensor.reshape(-1).split(_SPAN))


def _sum_of_squares(tensor: torch.Tensor) -> float:
    return sum(float(piece.double() @ piece.double()) for piece in tensor.reshape(-1).split(_SPAN))
