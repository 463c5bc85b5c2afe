"""Every figure draws, and follows what its reader picks, hides, prefers and prints."""

import base64
from pathlib import Path

import pytest

pytest.importorskip("selenium")

from tests.browser.material import Page

pytestmark = pytest.mark.browser
NAMES = (
    "pass-at-k", "summary", "correct-counts", "coverage-depth", "cover-at-tau", "difference", "overlap", "selection",
    "taxonomy", "votes", "extrapolation",
)  # fmt: skip


def test_every_figure_draws(page: Page, full: Path) -> None:
    page.open(full)
    assert sorted(page.figures()) == sorted(NAMES)
    for name in NAMES:
        assert page.words(name) == "", name
        assert page.marks(name) >= len({trace["name"] for trace in page.traces(name) if trace["points"]}), name


def test_every_choice_of_every_figure_draws_or_says_why_not(page: Page, full: Path) -> None:
    page.open(full)
    for name in NAMES:
        for label, options in page.run(
            "return [...document.querySelectorAll(`#${arguments[0]} .controls label`)].map(l => "
            "[l.firstChild.textContent.trim(), [...l.querySelectorAll('option')].map(o => o.textContent)])",
            name,
        ):
            for option in options:
                page.pick(f"#{name}", label, option)
                assert page.words(name) or page.marks(name), (name, label, option)


def test_a_condition_is_hidden_in_all_figures_at_once_and_comes_back(page: Page, full: Path) -> None:
    page.open(full)
    box = page.one("#toggles input[data-condition='2']")
    drawn = {name: page.marks(name) for name in ("pass-at-k", "votes", "summary")}
    page.press(box)
    for name, before in drawn.items():
        hidden = [trace for trace in page.traces(name) if trace["condition"] == 2]
        assert hidden
        assert all(trace["visible"] == "legendonly" for trace in hidden)
        assert all(trace["visible"] is True for trace in page.traces(name) if trace["condition"] == 3)
        assert page.marks(name) < before
    page.pick("#pass-at-k", "Horizontal axis", "generated tokens")
    assert all(t["visible"] == "legendonly" for t in page.traces("pass-at-k") if t["condition"] == 2)
    page.pick("#pass-at-k", "Horizontal axis", "rollouts")
    page.press(box)
    assert {name: page.marks(name) for name in drawn} == drawn


def test_the_legend_hides_a_condition_with_its_band(page: Page, full: Path) -> None:
    page.open(full)
    page.press(page.one("#pass-at-k .legendtoggle"))
    page.until(lambda: any(trace["visible"] == "legendonly" for trace in page.traces("pass-at-k")))
    hidden = {trace["condition"] for trace in page.traces("pass-at-k") if trace["visible"] == "legendonly"}
    assert len(hidden) == 1
    assert sum(trace["visible"] == "legendonly" for trace in page.traces("pass-at-k")) == 2


def test_pointing_at_a_value_shows_it_with_its_interval(page: Page, full: Path) -> None:
    page.open(full)
    page.run("Plotly.Fx.hover(document.querySelector('#pass-at-k .plot'), [{curveNumber: 1, pointNumber: 2}])")
    (shown,) = page.texts("#pass-at-k .hoverlayer .hovertext")
    assert shown.startswith("T=0.4, k = 4: ")
    assert "[" in shown


def test_the_horizontal_axis_can_be_what_was_spent(page: Page, full: Path) -> None:
    page.open(full)
    titles = []
    for option in ("rollouts", "generated tokens", "engine-seconds"):
        page.pick("#pass-at-k", "Horizontal axis", option)
        titles += page.texts("#pass-at-k .xtitle")
        assert page.run("return document.querySelector('#pass-at-k .plot')._fullLayout.xaxis.type") == "log"
    assert titles == ["k, rollouts per problem", "generated tokens per problem", "engine-seconds per problem"]


def test_any_two_conditions_can_be_compared(page: Page, full: Path) -> None:
    page.open(full)
    page.pick("#difference", "A", "T=0.8")
    page.pick("#difference", "B", "T=0.4")
    forward = page.run("return document.querySelector('#difference .plot')._fullData.at(-2).y")
    assert page.traces("difference")[-2]["name"] == "T=0.4 minus T=0.8"
    assert sum(trace["fill"] == "toself" for trace in page.traces("difference")) == 2  # at each k, and at all at once
    page.pick("#difference", "A", "T=0.4")
    assert "both A and B" in page.words("difference")
    page.pick("#difference", "B", "T=0.8")
    backward = page.run("return document.querySelector('#difference .plot')._fullData.at(-2).y")
    assert backward == [-value for value in forward]


def test_figures_follow_the_colour_scheme(page: Page, full: Path) -> None:
    page.open(full)
    fill = "return getComputedStyle(document.querySelector('#pass-at-k .xtitle')).fill"
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(fill), page.run(paper)
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.until(lambda: page.run(fill) != light[0])
    page.settle()
    dark = page.run(fill), page.run(paper)
    assert (light, dark) == (("rgb(27, 27, 27)", "rgb(255, 255, 255)"), ("rgb(230, 230, 230)", "rgb(22, 24, 28)"))
    assert all(page.marks(name) for name in NAMES)


def test_print_leaves_controls_out_and_figures_in(page: Page, full: Path) -> None:
    page.open(full)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not page.one("#toggles").is_displayed()
    assert not page.one("#pass-at-k .controls").is_displayed()
    assert page.one("#pass-at-k .plot svg").is_displayed()
    pdf = base64.b64decode(page.driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.settle()
    assert page.one("#toggles").is_displayed()
    assert all(page.marks(name) for name in NAMES)
