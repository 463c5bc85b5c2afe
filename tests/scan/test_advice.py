"""What is made of the points of a scan, and the grid that they lie on."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esprobe.errors import UsageError
from esprobe.scan.advice import advise, verdict
from esprobe.scan.figure import check_figure, draw_figure
from esprobe.scan.grid import logarithmic, parse_range
from esprobe.scan.points import ScanPoint
from esprobe.scan.text import as_table, next_command

BASELINE = ScanPoint(
    value=None, rollouts=100, pass_at_1=0.2, k=1, pass_at_k=0.2, rise=0.0, rise_se=0.0, well_formed=0.8, cut_off=0.0,
    same=1.0, tokens=12.0,
)  # fmt: skip


def point(value: float, rise: float, well_formed: float = 0.8, same: float = 0.5, se: float = 0.03) -> ScanPoint:
    return replace(
        BASELINE, value=value, k=8, pass_at_k=0.2 + rise, rise=rise, rise_se=se, well_formed=well_formed, same=same
    )


SCAN = [
    point(0.001, 0.0, same=0.97),
    point(0.002, 0.05),
    point(0.005, 0.1),
    point(0.01, 0.15, well_formed=0.5),
    point(0.02, 0.09, well_formed=0.3),
    point(0.05, -0.2, well_formed=0.0),
]


def test_the_band_is_around_the_best_value_and_ends_where_the_model_breaks() -> None:
    advice = advise(BASELINE, SCAN, "sigma")
    assert (advice.band, advice.best, advice.breaks_at, advice.inert_to) == ((0.005, 0.01), 0.01, 0.02, 0.001)
    words = [verdict(found, BASELINE, advice) for found in SCAN]
    assert words == ["inert", "", "band", "band", "broken", "broken"]
    said = " ".join(advice.reasons)
    assert "band of sigma 0.005 to 0.01: at 0.01 it is 35.0% against 20.0%, a rise of 15.0%" in said
    assert "breaks at sigma 0.02: 30.0% of its answers are well formed, against 80.0%" in said
    assert "up to sigma 0.001 at least 90%" in said


def test_a_rise_within_its_error_is_no_band() -> None:
    advice = advise(BASELINE, [point(0.001, 0.05), point(0.002, 0.06), point(0.005, 0.04)], "sigma")
    assert (advice.band, advice.best, advice.breaks_at) == ((), None, None)
    assert "at no sigma of this grid" in " ".join(advice.reasons)
    assert "breaks nowhere up to sigma 0.005" in " ".join(advice.reasons)
    assert next_command(advice, "sigma", Path("e.db"), []) is None


def test_a_baseline_that_is_cut_off_tells_neither_rise_nor_break() -> None:
    cut = replace(BASELINE, pass_at_1=0.0, pass_at_k=0.0, well_formed=0.0, cut_off=1.0)
    points = [replace(cut, value=value, k=8) for value in (0.001, 0.01)]
    said = " ".join(advise(cut, points, "sigma").reasons)
    assert "100.0% of the unperturbed model's greedy completions are cut off" in said
    assert "scan with a larger --max-tokens" in said
    assert "breaks" not in said and "another --range" not in said


def test_one_bad_value_between_good_ones_has_not_broken_the_model() -> None:
    holed = [*SCAN[:2], replace(SCAN[2], well_formed=0.1), *SCAN[3:]]
    assert advise(BASELINE, holed, "sigma").breaks_at == 0.02


def test_a_model_without_answers_breaks_where_it_no_longer_ends() -> None:
    mute = replace(BASELINE, well_formed=0.0, pass_at_1=0.0)
    points = [replace(point(0.01, 0.0, well_formed=0.0), cut_off=0.1), replace(point(0.1, 0.0), cut_off=0.9)]
    assert advise(mute, points, "sigma").breaks_at == 0.1


def test_the_next_command_keeps_what_decides_the_condition() -> None:
    advice = advise(BASELINE, SCAN, "sigma")
    assert next_command(advice, "sigma", Path("a b.db"), ["--model", "tiny"]) == (
        "esprobe sample-perturb --db 'a b.db' --model tiny --sigma 0.005 --sigma 0.01"
    )
    assert (next_command(advice, "temperature", Path("e.db"), []) or "").startswith("esprobe sample-temp --db e.db -t ")


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_a_model_that_hardly_answers_is_not_said_to_break_nowhere(share: float) -> None:
    baseline = replace(BASELINE, well_formed=share)
    silent = [replace(one, well_formed=0.0) for one in SCAN]
    advice = advise(baseline, silent, "sigma")
    assert advice.breaks_at is None
    assert advice.reasons[-1].startswith(f"only {share:.1%} of the unperturbed model's answers are well formed")
    assert "breaks nowhere" not in as_table(baseline, silent, advice, "sigma")
    flat = [replace(one, rise=0.0) for one in silent]
    assert "more --problems" not in as_table(baseline, flat, advise(baseline, flat, "sigma"), "sigma")
    endless = [*silent[:-1], replace(silent[-1], cut_off=0.9)]
    assert advise(baseline, endless, "sigma").breaks_at == 0.05


def test_table_and_figure_show_every_value(tmp_path: Path) -> None:
    advice = advise(BASELINE, SCAN, "sigma")
    lines = as_table(BASELINE, SCAN, advice, "sigma").splitlines()
    assert [line.split()[0] for line in lines[:8]] == ["sigma", "greedy", *(f"{p.value:g}" for p in SCAN)]
    pytest.importorskip("matplotlib")
    path = tmp_path / "scan.svg"
    check_figure(path)
    draw_figure(path, BASELINE, SCAN, advice, "sigma")
    assert "<svg" in path.read_text()
    with pytest.raises(UsageError, match="the ending must be one of"):
        check_figure(tmp_path / "scan.xyz")
    with pytest.raises(UsageError, match="there is no folder .*/none"):
        check_figure(tmp_path / "none" / "scan.png")


def test_without_matplotlib_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"checkout of esprobe with: pip install '\.\[plot\]'"):
        check_figure(tmp_path / "scan.png")


def test_a_grid_is_logarithmic_and_easy_to_type() -> None:
    assert logarithmic(0.001, 0.1, 5) == (0.001, 0.0032, 0.01, 0.032, 0.1)
    assert parse_range("0.1:2") == (0.1, 2.0)


@example(low=0.15, ratio=1.5, points=2)
@given(low=st.floats(1e-6, 1.0), ratio=st.floats(1.5, 1e5), points=st.integers(2, 30))
def test_a_grid_ascends_from_end_to_end(low: float, ratio: float, points: int) -> None:
    grid = logarithmic(low, low * ratio, points)
    assert list(grid) == sorted(set(grid))
    assert (grid[0], grid[-1]) == (float(f"{low:.1e}"), float(f"{low * ratio:.1e}"))
    assert all(float(f"{value:g}") == value for value in grid)


@pytest.mark.parametrize("text", ["0.1", "0:1", "-1:1", "a:b", "1:nan", "1:inf", ""])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--range must be LOW:HIGH with positive numbers"):
        parse_range(text)


@pytest.mark.parametrize("text", ["2:1", "1:1"])
def test_ends_out_of_order_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"LOW < HIGH, got '{text}'"):
        parse_range(text)


def test_one_point_is_no_grid() -> None:
    with pytest.raises(UsageError, match="--points must be at least 2, got 1"):
        logarithmic(0.1, 1, 1)
