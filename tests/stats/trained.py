"""Training against the best of n perturbations, with outcomes whose truth is known, and who covers it.

    python -m tests.stats.trained --reps 400

prints the tables of docs/statistics.md on training against selection; nothing is asserted. A short run of it is a test;
the full one is a part of ``nox -s coverage``.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from esprobe.stats.best_of_n import chance_of_best
from esprobe.stats.best_voting import BestVoting
from esprobe.stats.training_contrast import Arm, accuracy, gap, selected_arm, trained_arm
from tests.stats.crossed import logistic

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclass(frozen=True)
class Design:
    """Logit of the chance = mean + problem + perturbation, or mean + gain + problem + run for trained models.

    ``kept`` is the correlation of a perturbation's effects on training problems and on test problems.
    """

    perturbations: int = 240
    training: int = 200
    test: int = 400
    mean: float = -3.0
    gain: float = 0.5
    problem_sd: float = 2.0
    seed_sd: float = 0.0
    kept: float = 1.0
    runs: int = 1
    run_sd: float = 0.0

    @property
    def ns(self) -> tuple[int, ...]:
        return (self.perturbations // 10, self.perturbations // 2, self.perturbations)

    def chance(self, effects: np.ndarray) -> np.ndarray:
        """Of new problems, for each effect on the logit, by quadrature."""
        return logistic(self.mean + self.problem_sd * NODES[:, None] + effects).T @ WEIGHTS

    def fitness(self, rng: np.random.Generator, problem: np.ndarray, effects: np.ndarray) -> np.ndarray:
        """(N,) accuracy of each perturbation on training problems."""
        chances = logistic(self.mean + problem + effects)
        return (rng.random(chances.shape) < chances).mean(axis=0)


@dataclass(frozen=True)
class Coverage:
    """Shares of nominal 95 % intervals that cover, one for each n."""

    ns: tuple[int, ...]
    truths: np.ndarray
    by_problem: np.ndarray
    both: np.ndarray


def measure(design: Design, reps: int, seed: int) -> Coverage:
    """Trained minus best of n: with problems alone, and as esprobe does it. The true mean is that of all runs."""
    rng = np.random.default_rng(seed)
    found, truths = [], []
    for _ in range(reps):
        effects = design.seed_sd * rng.normal(size=design.perturbations)
        other = design.seed_sd * rng.normal(size=design.perturbations)
        on_test = design.kept * effects + np.sqrt(1 - design.kept**2) * other
        problem = rng.normal(0, design.problem_sd, (design.training, 1))
        fitness = design.fitness(rng, problem, effects)
        problem = rng.normal(0, design.problem_sd, (design.test, 1))
        correct = rng.random((design.test, design.perturbations)) < logistic(design.mean + problem + on_test)
        runs = design.gain + design.run_sd * rng.normal(size=design.runs)
        solved = rng.random((design.test, design.runs)) < logistic(design.mean + problem + runs)
        arms = [(selected_arm(fitness, correct, n), trained_arm(solved)) for n in design.ns]
        found.append([(*_ends(a, b), *_ends(_bare(a), _bare(b))) for a, b in arms])
        chances = design.chance(on_test)
        truths.append([chance_of_best(fitness, n) @ chances for n in design.ns])
    many = design.chance(design.gain + design.run_sd * np.random.default_rng(5).normal(size=4000)).mean()
    truth = many - np.mean(truths, axis=0)
    low, high, bare_low, bare_high = np.moveaxis(np.array(found), 2, 0)
    return Coverage(
        design.ns,
        truth,
        ((bare_low <= truth) & (truth <= bare_high)).mean(axis=0),
        ((low <= truth) & (truth <= high)).mean(axis=0),
    )


@dataclass(frozen=True)
class VoteCoverage:
    """Shares of nominal 95 % intervals of the vote of all perturbations' fittest that cover, one for each K."""

    voters: tuple[int, ...]
    accuracy: np.ndarray
    by_problem: np.ndarray
    both: np.ndarray


def measure_votes(design: Design, reps: int, seed: int, voters: tuple[int, ...] = (5, 25)) -> VoteCoverage:
    """Votes over the right value and eight wrong ones, which are not equally common. Truth is the mean of all runs."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(reps):
        effects = design.seed_sd * rng.normal(size=design.perturbations)
        problem = rng.normal(0, design.problem_sd, (design.training, 1))
        fitness = design.fitness(rng, problem, effects)
        problem = rng.normal(0, design.problem_sd, (design.test, 1))
        correct = rng.random((design.test, design.perturbations)) < logistic(design.mean + problem + effects)
        below = rng.dirichlet(np.full(8, 0.5), design.test).cumsum(axis=1)
        wrong = 1 + (rng.random((*correct.shape, 1)) > below[:, None, :]).sum(axis=2)
        voting = BestVoting(fitness, np.where(correct, 0, wrong).astype(np.int32), correct)
        arms = [voting.arm(design.perturbations, k) for k in voters]
        rows = [(accuracy(arm), accuracy(_bare(arm))) for arm in arms]
        found.append([(ours.estimate, ours.ci_low, ours.ci_high, bare.ci_low, bare.ci_high) for ours, bare in rows])
    estimates, low, high, bare_low, bare_high = np.moveaxis(np.array(found, dtype=float), 2, 0)
    truth = estimates.mean(axis=0)
    by_problem = ((bare_low <= truth) & (truth <= bare_high)).mean(axis=0)
    return VoteCoverage(voters, truth, by_problem, ((low <= truth) & (truth <= high)).mean(axis=0))


def _ends(a: Arm, b: Arm) -> tuple[float, float]:
    found = gap(a, b)
    assert found.ci_low is not None and found.ci_high is not None
    return found.ci_low, found.ci_high


def _bare(arm: Arm) -> Arm:
    return Arm(arm.values, (), arm.trials)


DESIGNS = {
    "no differences between perturbations": Design(),
    "no differences, 24 perturbations": Design(perturbations=24),
    "differences (sd 0.3)": Design(seed_sd=0.3),
    "differences (sd 0.3), 24 perturbations": Design(seed_sd=0.3, perturbations=24),
    "differences (sd 0.3) that test problems do not share": Design(seed_sd=0.3, kept=0.0),
    "differences (sd 1)": Design(seed_sd=1.0),
    "few successes, differences (sd 0.3)": Design(mean=-6.0, seed_sd=0.3),
    "two runs (sd 0.3), differences (sd 0.3)": Design(seed_sd=0.3, runs=2, run_sd=0.3),
    "three runs (sd 0.3), differences (sd 0.3)": Design(seed_sd=0.3, runs=3, run_sd=0.3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=400)
    options = parser.parse_args()
    print("| crossed model | n | true difference | by problem | **esprobe** |")
    print("| --- | --- | --- | --- | --- |")
    for name, design in DESIGNS.items():
        found = measure(design, options.reps, seed=20)
        ns = " / ".join(map(str, found.ns))
        true = " / ".join(f"{100 * value:+.1f}" for value in found.truths)
        plain, ours = (" / ".join(f"{value:.3f}" for value in row) for row in (found.by_problem, found.both))
        print(f"| {name} | {ns} | {true} | {plain} | **{ours}** |", flush=True)

    print("\n| vote of the K fittest | K | accuracy | by problem | **esprobe** |")
    print("| --- | --- | --- | --- | --- |")
    for sd in (0.0, 0.3, 1.0):
        votes = measure_votes(
            Design(perturbations=120, test=300, mean=-2.0, problem_sd=1.5, seed_sd=sd), options.reps // 4, 20
        )
        cells = (" / ".join(f"{value:.3f}" for value in row) for row in (votes.accuracy, votes.by_problem, votes.both))
        percent, plain, ours = cells
        print(f"| sd {sd:g} | {' / '.join(map(str, votes.voters))} | {percent} | {plain} | **{ours}** |", flush=True)


if __name__ == "__main__":
    main()
