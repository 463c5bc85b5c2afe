"""The figure and the words of what training adds to the base, on two models of one name."""

import json
from dataclasses import replace

import pytest

from esprobe.analysis import load_results
from esprobe.report.charts.curves import pass_at_k
from esprobe.report.charts.gain import training_gain
from esprobe.report.gain_text import crossing_k, gain_section, gain_sentence, reaching_k
from esprobe.report.matplotlib_figures import draw
from esprobe.report.plotly_figures import as_plotly
from esprobe.results.results import Results
from esprobe.results.training_gain import TrainingGain
from esprobe.stats.crossing import Crossing
from tests.filled import HOSTILE, fill, mixed, solutions


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A base that solves some problems often and some seldom; a trained model that solves other ones, nearly always."""
    folder = tmp_path_factory.mktemp("gain")
    trained = {index: [f"{HOSTILE} {answer}"] * 5 + ["no"] for index, answer in list(solutions().items())[:20]}
    for script in (mixed(), {"*": ["no"]} | trained):
        path = fill(folder, script)
    fingerprints = list(dict.fromkeys(r.condition.model_fingerprint for r in load_results(path).conditions))
    base, trained_one = (fingerprint[:8] for fingerprint in fingerprints)
    return load_results(path, whole=True, base=base, trained=trained_one)


@pytest.fixture
def gain(results: Results) -> TrainingGain:
    assert isinstance(results.training_gain, TrainingGain)
    return results.training_gain


def test_the_trained_model_is_thick_and_first(results: Results, gain: TrainingGain) -> None:
    figure = training_gain(results)
    assert figure is not None
    series = figure.first.series
    assert series[0].label == f"trained model, {gain.coverage[0].decoding}" and series[0].style.bold
    assert series[0].y[0] == pytest.approx(gain.coverage[0].difference.points[0].b)
    assert [s.label for s in series if s.style.bold] == [series[0].label, "trained model, greedy"]
    bold = {s.condition for s in pass_at_k(results).first.series if s.style.bold}
    assert bold == {pair.trained for pair in gain.coverage}


def test_both_k_are_marked_with_their_sets(results: Results, gain: TrainingGain) -> None:
    figure = training_gain(results)
    assert figure is not None
    for point, name in ((gain.reaches[0].point, "k of trained pass@1"), (gain.coverage[0].point, "crossing point k*")):
        assert point is not None
        marked = [s for s in figure.first.series if s.label.startswith(name)]
        assert [s.x[0] for s in marked if s.style.marker] == ([] if point.k is None else [point.k])
        assert len([s for s in marked if not s.style.marker]) == len(point.ranges) > 0
        for drawn, (low, high) in zip(marked, point.ranges, strict=False):
            assert drawn.x == (1.0 if low is None else low, float(point.n) if high is None else high)


def test_both_libraries_draw_it(results: Results) -> None:
    figure = training_gain(results)
    assert figure is not None
    graph_objects = pytest.importorskip("plotly.graph_objects")
    pytest.importorskip("matplotlib")
    made = as_plotly(figure.first)
    graph_objects.Figure(made)
    json.dumps(made, allow_nan=False)
    widths = {trace["name"]: trace["line"]["width"] for trace in made["data"] if trace.get("showlegend", True)}
    assert widths[figure.first.series[0].label] > widths[figure.first.series[1].label]
    shorter = replace(figure.first, series=figure.first.series[:-1])
    assert draw(figure.first, figure.title, "png") != draw(shorter, figure.title, "png")


def test_completions_are_no_markup(results: Results, gain: TrainingGain) -> None:
    assert gain.only_trained.shown
    text = "\n".join(gain_section(results))
    assert "onerror" in text and "<script" not in text and "<img" not in text and "\x1b" not in text


def test_one_model_has_no_figure(results: Results) -> None:
    assert training_gain(replace(results, training_gain=None)) is None
    assert gain_section(replace(results, training_gain=None)) == []


def test_problems_beyond_the_list_are_counted(results: Results, gain: TrainingGain) -> None:
    assert len(gain.only_base.problems) > len(gain.only_base.shown) == 10
    text = "\n".join(gain_section(results))
    assert f"Only the base: {len(gain.only_base.problems)} problems; the first 10" in text


def crossing(
    k: float | None, *ranges: tuple[float | None, float | None], first: float = 1, last: float = -1
) -> Crossing:
    return Crossing(k=k, ranges=ranges, n=16, first=first, last=last)


@pytest.mark.parametrize(
    ("point", "whole", "real"),
    [
        (crossing(2.4, (1.2, 5.01)), ("3", "2 to 6"), ("2.4", "1.2 to 5.01")),
        (crossing(2.4, (None, 5.01)), ("3", "1 to 6"), ("2.4", "up to 5.01")),
        (crossing(9.0, (4.0, None)), ("9", "4 or more"), ("9", "4 or more")),
        (crossing(2.4, (1.2, 3.0), (12.5, None)), ("3", "2 to 3 or 13 or more"), ("2.4", "1.2 to 3 or 12.5 or more")),
        (crossing(1.5, (1.4, 1.6)), ("2", "2"), ("1.5", "1.4 to 1.6")),
        (crossing(None, (None, None), last=1), ("more than 16", "1 or more"), ("none up to 16", "any k")),
        (crossing(None, last=1), ("more than 16", "more than 16"), ("none up to 16", "empty")),
        (crossing(1.0, first=-1), ("1", "1"), ("1", "empty")),
    ],
)
def test_sets_in_words(point: Crossing, whole: tuple[str, str], real: tuple[str, str]) -> None:
    assert (reaching_k(point), crossing_k(point)) == (whole, real)


def test_the_sentence_follows_the_rule(gain: TrainingGain) -> None:
    (p,) = gain.pass_1.points
    for low, high, said in ((0.01, 0.2, "Training gains"), (-0.1, 0.2, "do not tell from no change")):
        made = replace(gain, pass_1=replace(gain.pass_1, points=(replace(p, estimate=0.1, ci_low=low, ci_high=high),)))
        assert said in gain_sentence(made)
    loss = replace(gain, pass_1=replace(gain.pass_1, points=(replace(p, estimate=-0.1, ci_low=-0.2, ci_high=-0.05),)))
    assert gain_sentence(loss).startswith("Training changes pass@1 by -10.0 points [-20.0, -5.0]")
    pair = gain.coverage[0]
    last = pair.difference.points[-1]
    for ends, said in (
        ((0.01, 0.2), "training widens coverage"),
        ((-0.2, -0.01), "training narrows coverage"),
        ((-0.1, 0.1), "do not tell whether training widens or narrows coverage"),
    ):
        points = (*pair.difference.points[:-1], replace(last, ci_low=ends[0], ci_high=ends[1]))
        changed = replace(pair, difference=replace(pair.difference, points=points))
        assert said in gain_sentence(replace(gain, coverage=(changed,)))
