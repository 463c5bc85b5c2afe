"""Outcomes whose truth is known: problems and perturbations crossed on the logit scale, and who covers it.

    python -m tests.stats.crossed --reps 1000

prints the table of docs/statistics.md and fails if an interval covers too little or too much. A short run of it is a
test; the full one is ``nox -s coverage``.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from esprobe.spec import Kind
from esprobe.stats.difference import paired_difference
from esprobe.stats.intervals import intervals
from esprobe.stats.outcomes import Outcomes
from esprobe.stats.side import Side, sampled_side


def logistic(x):
    return 1 / (1 + np.exp(-x))


def full(correct) -> Outcomes:
    return Outcomes(correct, np.ones_like(correct))


def true_pass_at_k(mean: float, problem_sd: float, seed_sd: float, ks: Sequence[int]) -> np.ndarray:
    """Over new problems and new perturbations, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    chance = logistic(mean + problem_sd * nodes[:, None] + seed_sd * nodes) @ weights
    return np.array([weights @ (1 - (1 - chance) ** k) for k in ks])


@dataclass(frozen=True)
class Design:
    """A crossed model: logit of the chance = mean + problem + perturbation, both normal.

    The other side's mean is higher by ``gain``; its problems' effects are the same ones, and its perturbations'
    effects correlate with the first's by ``alike`` where both are perturbed.
    """

    problems: int = 300
    samples: int = 64
    mean: float = -3.0
    gain: float = 0.3
    problem_sd: float = 2.0
    seed_sd: float = 1.0
    kinds: tuple[str, str] = (Kind.TEMPERATURE, Kind.PERTURBATION)
    alike: float = 0.0

    @property
    def ks(self) -> tuple[int, ...]:
        return (1, 4, self.samples // 8, self.samples // 2)

    @property
    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        sds = [self.seed_sd if kind == Kind.PERTURBATION else 0.0 for kind in self.kinds]
        means = (self.mean, self.mean + self.gain)
        a, b = (true_pass_at_k(m, self.problem_sd, sd, self.ks) for m, sd in zip(means, sds, strict=True))
        return a, b

    def draws(self, reps: int, seed: int) -> Iterator[tuple[Outcomes, Outcomes]]:
        rng = np.random.default_rng(seed)
        shape = (self.problems, self.samples)
        for _ in range(reps):
            problem = rng.normal(0, self.problem_sd, (self.problems, 1))
            one = rng.normal(0, 1, (1, self.samples))
            other = self.alike * one + np.sqrt(1 - self.alike**2) * rng.normal(0, 1, (1, self.samples))
            sides = []
            for kind, mean, effect in zip(self.kinds, (self.mean, self.mean + self.gain), (one, other), strict=True):
                logits = mean + problem + (self.seed_sd * effect if kind == Kind.PERTURBATION else 0.0)
                sides.append(full(rng.random(shape) < logistic(logits)))
            yield sides[0], sides[1]


@dataclass(frozen=True)
class Coverage:
    """Shares of nominal 95 % intervals that cover, one for each k; ``band`` for all k at once."""

    ks: tuple[int, ...]
    by_problem: np.ndarray
    one_arm: np.ndarray
    paired_by_problem: np.ndarray
    paired: np.ndarray
    band: float


def measure(design: Design, reps: int, seed: int) -> Coverage:
    """Side B alone, then B against A: with the spread between problems alone, and as esprobe does it."""
    truth_a, truth_b = design.truth
    truth = truth_b - truth_a
    hits = np.zeros((4, len(design.ks)))
    bands = 0
    seeds = np.arange(design.samples)
    for a, b in design.draws(reps, seed):
        for row, kind in enumerate((Kind.TEMPERATURE, design.kinds[1])):
            hits[row] += [i.low <= t <= i.high for i, t in zip(intervals(b, design.ks, kind), truth_b, strict=True)]
        sides = [sampled_side(o, seeds, kind, design.ks) for o, kind in zip((a, b), design.kinds, strict=True)]
        hits[2] += covers_by_problem(*sides, truth)
        points = paired_difference(*sides, shared_seeds=design.alike > 0).points
        hits[3] += [p.ci_low <= t <= p.ci_high for p, t in zip(points, truth, strict=True)]
        bands += all(p.band_low <= t <= p.band_high for p, t in zip(points, truth, strict=True))
    return Coverage(design.ks, *(hits / reps), bands / reps)


def covers_by_problem(a: Side, b: Side, truth: np.ndarray) -> np.ndarray:
    """The usual paired interval: problems as if nothing else varied."""
    d = b.values - a.values
    return np.abs(d.mean(axis=0) - truth) <= 1.96 * d.std(axis=0, ddof=1) / np.sqrt(len(d))


LEAST, MOST = 0.91, 0.97

DESIGNS = {
    "temperature against sigma": Design(),
    "temperature against sigma, strong effects": Design(seed_sd=1.5),
    "sigma against sigma": Design(kinds=(Kind.PERTURBATION, Kind.PERTURBATION)),
    "sigma against sigma, the same noise": Design(kinds=(Kind.PERTURBATION, Kind.PERTURBATION), alike=0.8),
    "rare successes": Design(mean=-7.0, gain=0.7),
    "no effect of perturbations": Design(seed_sd=0.0),
    "temperature against temperature": Design(kinds=(Kind.TEMPERATURE, Kind.TEMPERATURE)),
    "the study's size": Design(problems=2000, samples=256),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=1000)
    options = parser.parse_args()
    outside: list[tuple[str, float]] = []
    print("| crossed model | k | one arm by problem | **one arm** | paired by problem | **paired** | band |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, design in DESIGNS.items():
        found = measure(design, options.reps, seed=20)
        cells = [
            " / ".join(f"{value:.3f}" for value in row)
            for row in (found.by_problem, found.one_arm, found.paired_by_problem, found.paired)
        ]
        one, two, three, four = cells
        ks = " / ".join(map(str, found.ks))
        print(f"| {name} | {ks} | {one} | **{two}** | {three} | **{four}** | {found.band:.3f} |", flush=True)
        ours = np.concatenate([found.one_arm, found.paired])
        outside += [(name, value) for value in ours if not LEAST <= value <= MOST]
    print("\n".join(f"outside {LEAST} to {MOST}: {name} {value:.3f}" for name, value in outside))
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
