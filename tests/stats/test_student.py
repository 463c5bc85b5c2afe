"""Student's t against its density, integrated."""

import math

import numpy as np
import pytest

from esprobe.stats.student import MANY, _within_exactly, _within_many, t_quantile


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 15, 16, 99, 1999])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.995])
def test_the_density_up_to_the_quantile_holds_the_probability(df: int, probability: float) -> None:
    t = t_quantile(probability, df)
    x = np.linspace(0, t, 200_001)
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    density = scale * (1 + x**2 / df) ** (-(df + 1) / 2)
    assert 0.5 + np.trapezoid(density, x) == pytest.approx(probability, abs=1e-7)


def test_the_median_is_zero_and_many_degrees_of_freedom_are_normal() -> None:
    assert t_quantile(0.5, 5) == pytest.approx(0, abs=1e-12)
    assert t_quantile(0.975, 100_000) == pytest.approx(1.95996, abs=1e-4)


@pytest.mark.parametrize("df", [MANY, MANY + 1, 1999, 100_000])
def test_the_expansion_for_many_degrees_of_freedom_agrees_with_the_exact_sum(df: int) -> None:
    for t in (0.01, 0.5, 1.96, 3.0, 6.0, 20.0):
        angle = math.atan(t / math.sqrt(df))
        exact, quick = _within_exactly(angle, df), _within_many(angle, df)
        assert quick == pytest.approx(exact, abs=1e-11)


@pytest.mark.parametrize(("probability", "df"), [(0.4, 3), (1.0, 3), (0.9, 0)])
def test_nonsense_is_refused(probability: float, df: int) -> None:
    with pytest.raises(ValueError, match="need"):
        t_quantile(probability, df)
