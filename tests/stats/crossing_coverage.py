"""How often the confidence sets of k* and of the k that reaches pass@1 hold the true k, which is known here.

    python -m tests.stats.crossing_coverage --reps 400

prints the second table of docs/statistics.md's section Coverage and fails if a set covers too little or too much. A
short run of it is a test; the full one is part of ``nox -s coverage``.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from esprobe.spec import Kind
from esprobe.stats.crossing import Crossing, crossing_point, evaluated_ks, reaching_point
from esprobe.stats.side import sampled_side
from tests.stats.crossed import full, logistic, true_pass_at_k


@dataclass(frozen=True)
class Pair:
    """A base and a trained model whose curves cross.

    Logit of a rollout's chance = mean + sd * problem (+ perturbation), problem and perturbation normal. Training moves
    the mean up and spreads problems apart: what was solved sometimes is solved always, what was rare becomes rarer. The
    problems' effects correlate by ``alike``, and so do those of a seed's perturbation on both models.
    """

    kind: Kind = Kind.TEMPERATURE
    problems: int = 300
    samples: int = 64
    base: tuple[float, float] = (-3.0, 1.5)
    trained: tuple[float, float] = (-3.5, 3.5)
    alike: float = 0.8
    seed_sd: float = 1.0

    @property
    def _seed_sd(self) -> float:
        return self.seed_sd if self.kind.shares_noise else 0.0

    @property
    def truth(self) -> tuple[float, float]:
        """True k* of the two curves, and the true k at which the base reaches the trained model's greedy pass@1.

        Over new problems and new perturbations, interpolated linearly in log k between whole k.
        """
        ks = evaluated_ks(self.samples)
        base = true_pass_at_k(*self.base, self._seed_sd, ks)
        trained = true_pass_at_k(*self.trained, self._seed_sd, ks)
        (greedy,) = true_pass_at_k(*self.trained, 0.0, (1,))
        return _zero(ks, trained - base), _zero(ks, greedy - base)

    def found(self, reps: int, seed: int) -> Iterator[tuple[Crossing, Crossing]]:
        """What esprobe says of k* and of the reaching k in each run."""
        rng = np.random.default_rng(seed)
        ks, seeds = evaluated_ks(self.samples), np.arange(self.samples)
        for _ in range(reps):
            problems, perturbations = self._both(rng, (self.problems, 1)), self._both(rng, (1, self.samples))
            plain = [mean + sd * effect for (mean, sd), effect in zip((self.base, self.trained), problems, strict=True)]
            drawn = [
                full(rng.random((self.problems, self.samples)) < logistic(logit + self._seed_sd * effect))
                for logit, effect in zip(plain, perturbations, strict=True)
            ]
            base, trained = (sampled_side(outcomes, seeds, self.kind, ks) for outcomes in drawn)
            answers = full(rng.random((self.problems, 1)) < logistic(plain[1]))
            crossing = crossing_point(base, trained, shared_seeds=self.kind.shares_noise)
            reaching = reaching_point(base, sampled_side(answers, seeds[:1], Kind.GREEDY, (1,)))
            assert crossing is not None and reaching is not None
            yield crossing, reaching

    def _both(self, rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        one, other = rng.normal(size=shape), rng.normal(size=shape)
        return one, self.alike * one + np.sqrt(1 - self.alike**2) * other


def _zero(ks: tuple[int, ...], differences: np.ndarray) -> float:
    (place,) = np.flatnonzero(np.diff(np.sign(differences)))  # exactly one
    before, after = differences[place : place + 2]
    return float(np.exp(np.interp(0, [-before, -after], np.log(ks[place : place + 2]))))


def holds(crossing: Crossing, k: float) -> bool:
    """Whether its confidence set holds a k."""
    return any((low is None or low <= k) and (high is None or k <= high) for low, high in crossing.ranges)


@dataclass(frozen=True)
class Coverage:
    """Shares of nominal 95 % sets that hold the true k, and of sets with both ends within 1 to n."""

    crossing: float
    reaching: float
    crossing_closed: float
    reaching_closed: float


def measure(pair: Pair, reps: int, seed: int) -> Coverage:
    """Both sets in ``reps`` runs."""
    true_crossing, true_reaching = pair.truth
    rows = [
        (
            holds(crossing, true_crossing),
            holds(reaching, true_reaching),
            *(all(None not in ends for ends in one.ranges) for one in (crossing, reaching)),
        )
        for crossing, reaching in pair.found(reps, seed)
    ]
    return Coverage(*np.mean(rows, axis=0).tolist())


LEAST, MOST = 0.93, 0.97

PAIRS = {
    "temperature": Pair(),
    "sigma, the same noise": Pair(kind=Kind.PERTURBATION),
    "temperature, crossing late": Pair(trained=(-2.5, 3.0)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=400)
    options = parser.parse_args()
    outside: list[tuple[str, float]] = []
    print(r"| base and trained | true k\* | **k\* covered** | true k | **k reaching pass@1 covered** | closed sets |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, pair in PAIRS.items():
        crossing, reaching = pair.truth
        found = measure(pair, options.reps, seed=20)
        closed = f"{found.crossing_closed:.3f} / {found.reaching_closed:.3f}"
        print(
            f"| {name} | {crossing:.1f} | **{found.crossing:.3f}** | {reaching:.1f} | **{found.reaching:.3f}** "
            f"| {closed} |",
            flush=True,
        )
        outside += [(name, value) for value in (found.crossing, found.reaching) if not LEAST <= value <= MOST]
    print("\n".join(f"outside {LEAST} to {MOST}: {name} {value:.3f}" for name, value in outside))
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
