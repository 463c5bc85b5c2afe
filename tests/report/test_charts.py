"""Every figure as both libraries draw it, on results that a real database gave."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from esprobe.analysis import load_results
from esprobe.report.charts.curves import pass_at_k
from esprobe.report.charts.model import Axis, Chart, Figure, Series, Style
from esprobe.report.charts.pairs import difference
from esprobe.report.charts.style import styles
from esprobe.report.matplotlib_figures import draw
from esprobe.report.pictures import picture_lines, pictures
from esprobe.report.plotly_figures import as_plotly
from esprobe.report.sections import SECTIONS, arranged, figures_by_section
from esprobe.results.results import Results
from tests.filled import fill, mixed
from tests.report.material import HOSTILE, condition, result

MAKERS = sum(len(section.figures) for section in SECTIONS if not section.optional)


def figures(results: Results) -> list[Figure]:
    return [figure for drawn in figures_by_section(results).values() for figure in drawn]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return load_results(fill(tmp_path_factory.mktemp("full"), mixed()), whole=True)


def test_every_chart_is_valid_for_plotly(full: Results) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    for figure in figures(full):
        for key, chart in figure.charts.items():
            made = as_plotly(chart)
            if "absent" in made:
                assert made["absent"].endswith("."), (figure.name, key)
            else:
                graph_objects.Figure(made)  # refuses a property that Plotly does not know
                assert made["data"], (figure.name, key)
            json.dumps(made, allow_nan=False)


def test_every_figure_names_a_chart_for_each_combination_of_choices(full: Results) -> None:
    assert len({figure.name for figure in figures(full)}) == MAKERS
    for figure in figures(full):
        keys = {()}
        for choice in figure.choices:
            keys = {(*key, option) for key in keys for option in range(len(choice.options))}
        assert keys == set(figure.charts), figure.name
        assert set(figure.filed) <= keys
        assert figure.first in figure.charts.values()


def test_every_figure_stands_in_its_section_or_else_under_the_curves(full: Results) -> None:
    assert len({section.heading for section in SECTIONS}) == len(SECTIONS)
    by_title = {
        part.title: [figure.name for figure in part.figures] for part in arranged(full, figures_by_section(full))
    }
    assert by_title["Overlap of solved problems"] == ["overlap"]
    assert by_title["Coverage, reliability, diversity"] == ["correct-counts", "coverage-depth", "cover-at-tau"]
    bare = replace(full, arms=None)
    assert "overlap" in {
        f.name for part in arranged(bare, figures_by_section(bare)) if part.title == "pass@k" for f in part.figures
    }
    empty = Results(task="countdown", scorer="strict/1", conditions=())
    (title,) = arranged(empty, figures_by_section(empty))
    assert (title.lines, len(title.figures)) == (["Nothing is stored yet."], MAKERS)


@pytest.mark.parametrize("form", ["png", "svg"])
def test_every_picture_is_a_file_of_its_form_and_the_same_each_time(full: Results, form: str) -> None:
    pytest.importorskip("matplotlib")
    drawn = list(pictures("report", figures(full)))
    assert len({picture.stem for picture in drawn}) == len(drawn) >= MAKERS
    for picture in drawn:
        content = draw(picture.chart, picture.title, form)  # type: ignore[arg-type]
        if form == "png":
            assert content.startswith(b"\x89PNG"), picture.stem
        else:
            assert ElementTree.fromstring(content).tag.endswith("svg"), picture.stem
            assert content == draw(picture.chart, picture.title, form), picture.stem
            assert b"mathdefault" not in content, picture.stem  # powers on an axis are no formulas


def test_curves_have_the_values_of_the_table(results: Results) -> None:
    chart = pass_at_k(results).first
    by_label = {series.label: series for series in chart.series}
    assert list(by_label) == ["T=0.4", "T=1", "sigma=0.005", "sigma=0.01", "random expressions"]
    for given in results.sampled:
        drawn = by_label[results.labels[given.id]]
        assert drawn.x == tuple(point.k for point in given.curve.points)
        assert drawn.y == tuple(point.estimate for point in given.curve.points)
        assert drawn.low == tuple(point.ci_low for point in given.curve.points)
        assert drawn.condition == given.id
    assert by_label["random expressions"].condition is None
    assert [r.label for r in chart.references] == ["greedy", *(f"{p.method} (published)" for p in results.published)]


def test_a_difference_turned_round_changes_sign_and_ends(full: Results) -> None:
    figure = difference(full)
    names = [choice.options for choice in figure.choices]
    a, b = names[0].index("T=0.8"), names[1].index("sigma=0.01")
    forward = figure.charts[a, b, 0].series[0]
    backward = figure.charts[names[0].index("sigma=0.01"), names[1].index("T=0.8"), 0].series[0]
    assert backward.y == tuple(-y for y in forward.y)
    assert backward.low == tuple(None if high is None else -high for high in forward.high)
    assert backward.outer == tuple((-high, -low) for low, high in forward.outer)
    assert forward.outer
    assert all(low <= y <= high for y, (low, high) in zip(forward.y, forward.outer, strict=True))


def test_arms_differ_in_line_and_conditions_in_marker_and_colour() -> None:
    hot = [result(i, condition(temperature=i / 10), [[1, 0], [0, 0]]) for i in range(1, 7)]
    noisy = [result(i + 10, condition(sigma=i / 1000), [[1, 0], [0, 0]]) for i in range(1, 7)]
    looks = styles(Results(task="countdown", scorer="strict/1", conditions=(*hot, *noisy)))
    assert {looks[r.id].dash for r in hot} == {"solid"}
    assert {looks[r.id].dash for r in noisy} == {"dash"}
    assert len({(look.colour, look.marker) for look in looks.values()}) == 12


def test_labels_are_no_markup_to_plotly() -> None:
    series = Series(label=HOSTILE, style=Style("#000000"), x=(HOSTILE,), y=(0.5,), words=(HOSTILE,), texts=(HOSTILE,))
    for kind in ("lines", "bars", "points"):
        made = as_plotly(Chart(x=Axis(HOSTILE, "category"), y=Axis("y"), kind=kind, series=(series,)))
        text = json.dumps(made, ensure_ascii=False).replace("<br>", "")
        assert "<" not in text
        assert "\x1b" not in text and "\\u001b" not in text and "\u202e" not in text


def test_pictures_draw_labels_that_hold_anything() -> None:
    pytest.importorskip("matplotlib")
    hostile = f"{HOSTILE} $x^ $$ \\frac \u4e2d"
    series = Series(
        label=hostile, style=Style("", "dot"), x=(1.0, 2.0), y=(0.5, 0.6), low=(None, 0.5), high=(None, 0.7)
    )
    chart = Chart(x=Axis(hostile, "log"), y=Axis(hostile, percent=True), series=(series,))
    assert draw(chart, hostile, "png").startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(Chart(x=Axis(""), y=Axis(""), absent="Nothing is stored."), "", "png")


def test_a_figure_without_data_is_words_in_markdown() -> None:
    nothing = Chart(x=Axis(""), y=Axis(""), absent="Nothing is stored yet.")
    figure = Figure(name="x", title="a|b", reading="Read it.", charts={(): nothing})
    assert picture_lines("my report", figure) == ["### a\\|b", "", "Read it.", "", "Nothing is stored yet.", ""]
    assert list(pictures("my report", [figure])) == []


def test_a_stem_with_spaces_is_still_one_link(results: Results, tmp_path: Path) -> None:
    line = picture_lines("my [report]", pass_at_k(results))[4]
    assert (
        line
        == "[![pass@k: rollouts, all](my%20%5Breport%5D-pass-at-k.png)](my%20%5Breport%5D-pass-at-k.svg)".replace(
            "pass@k", "pass&#64;k"
        )
    )
