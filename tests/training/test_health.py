"""Warnings of a training run that goes wrong."""

from collections.abc import Sequence

from esprobe.records.training import Member
from esprobe.training.health import Health


def run(*means: float, spread: float = 0.01, cut_off: float = 0.0) -> list[str]:
    """What is said over iterations with these mean fitnesses."""
    health = Health()
    return [warning for mean in means for warning in health.add(members(mean, spread), cut_off, 64)]


def members(mean: float, spread: float) -> Sequence[Member]:
    return [Member(seed, 1, mean + spread * sign, 0.0) for seed, sign in enumerate((-1, 1, -1, 1))]


def test_a_run_that_rises_or_stays_is_left_alone() -> None:
    assert run(*(0.1 + 0.01 * number for number in range(30))) == []
    assert run(*([0.1, 0.085] * 15)) == []


def test_fitness_below_the_base_is_told_once() -> None:
    (warning,) = run(*([0.1] * 5), *([0.07] * 20))
    assert "from 0.1" in warning and "--alpha" in warning


def test_a_fall_within_the_spread_is_noise() -> None:
    assert run(*([0.1] * 5), *([0.07] * 20), spread=0.02) == []


def test_no_spread_and_no_end_are_told_once_each() -> None:
    (spread,) = run(*([0.1] * 4), spread=0.0)
    assert "iteration 1" in spread and "--sigma" in spread
    (cut,) = run(*([0.1] * 4), cut_off=0.97)
    assert "64 tokens" in cut and "--max-tokens" in cut
