"""Results that the report's tests share."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from esprobe.results.results import NullResult, Results
from esprobe.spec import Condition
from esprobe.stats.curve import expected_curve
from esprobe.tasks.published import published_points
from tests.report.material import condition, result, session


@pytest.fixture
def results() -> Results:
    """A baseline, two temperatures, a sigma that is incomplete, one that solves nothing, a null and sessions."""
    rng = np.random.default_rng(1)
    chance = rng.random((40, 1)) ** 3
    stored = np.ones((40, 40), dtype=bool)
    stored[25:, 36:] = False
    return Results(
        task="countdown",
        scorer="es-paper/1",
        conditions=(
            result(1, condition(), rng.random((40, 1)) < 0.1),
            result(2, condition(temperature=0.4), rng.random((40, 64)) < chance),
            result(3, condition(temperature=1.0), rng.random((40, 64)) < chance / 4),
            result(4, condition(sigma=0.005), (rng.random((40, 40)) < chance), stored),
            result(5, condition(sigma=0.01), np.zeros((40, 64))),
        ),
        nulls=(
            NullResult(
                "random expressions", "the given numbers in random order", expected_curve(chance[:, 0] / 9, [1, 2, 64])
            ),
        ),
        published=published_points("countdown"),
        sessions=(session(1), session(2), session(3, ended_utc=None, outcome=None, host="node9")),
    )


@pytest.fixture
def one() -> Callable[..., Results]:
    """Results of a single condition."""

    def build(given: Condition, correct: object, **changes: object) -> Results:
        made = result(1, given, correct)
        return Results(task="countdown", scorer="strict/1", conditions=(replace(made, **changes),))

    return build
