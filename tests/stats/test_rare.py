"""What few successes tell: the exact Poisson bound, against closed forms and published values."""

import math

import numpy as np
import pytest

from esprobe.spec import Kind
from esprobe.stats.outcomes import Outcomes
from esprobe.stats.rare import FEW, independent_successes, lower_share, successes_behind


@pytest.mark.parametrize("alpha", [0.05, 0.01, 1e-6])
def test_one_success_has_a_closed_form(alpha: float) -> None:
    assert lower_share(1, alpha) == pytest.approx(-math.log1p(-alpha / 2), rel=1e-6)


@pytest.mark.parametrize(("seen", "low"), [(1, 0.0253), (2, 0.2422), (5, 1.6235), (10, 4.7954), (15, 8.3954)])
def test_the_lower_end_is_garwoods(seen: int, low: float) -> None:
    """The usual table of exact 95 % limits of a Poisson mean."""
    assert lower_share(seen, 0.05) * seen == pytest.approx(low, abs=6e-5)


def test_from_some_successes_on_the_ordinary_interval_serves() -> None:
    assert lower_share(FEW, 0.05) == lower_share(math.inf, 0.05) == 1.0
    assert lower_share(FEW - 1, 0.05) < 1


def test_successes_are_counted_as_the_trials_that_would_be_drawn_again() -> None:
    correct = np.zeros((10, 8), np.bool_)
    correct[0] = True  # one problem, every time
    correct[1, 3] = True
    outcomes = Outcomes(correct, np.ones_like(correct))
    assert successes_behind(outcomes, Kind.TEMPERATURE, these_problems=False) == independent_successes(2, 10) == 2.5
    # Every perturbation solved one, so that they are no rarity; the problems are.
    assert successes_behind(outcomes, Kind.PERTURBATION, these_problems=False) == 2.5
    assert successes_behind(outcomes, Kind.PERTURBATION, these_problems=True) == math.inf
    # The problem that is solved every time brings no luck: 9 correct, of which the luck of one is 7/8.
    assert successes_behind(outcomes, Kind.TEMPERATURE, these_problems=True) == pytest.approx(81 / (7 / 8))
    everywhere = Outcomes(np.ones((3, 2), np.bool_), np.ones((3, 2), np.bool_))
    for kind in (Kind.TEMPERATURE, Kind.PERTURBATION):
        assert successes_behind(everywhere, kind, these_problems=False) == math.inf
