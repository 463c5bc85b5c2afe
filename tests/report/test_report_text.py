"""Numbers as words, and foreign text made harmless."""

import pytest

from esprobe.report.text import count, k_list, percent, plural, rate, share, span
from esprobe.safe_text import csv_text, html, markdown, multiline, plain
from esprobe.stats.curve import Point
from tests.report.material import HOSTILE


def point(estimate, low=None, high=None, note=None) -> Point:
    return Point(k=1, estimate=estimate, ci_low=low, ci_high=high, problems=9, note=note)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (point(0.123, 0.101, 0.149), "12.3 % [10.1, 14.9]"),
        (point(0.0123, 0.0101, 0.0149), "1.2 % [1.0, 1.5]"),
        (point(0.00234, 0.0021, 0.0026), "0.23 % [0.21, 0.26]"),
        (point(0.0001, 0.00003, 0.0003), "0.010 % [0.003, 0.030]"),
        (point(1 / 2_048_000, 7e-8, 3.5e-6), "0.000049 % [0.000007, 0.000350]"),
        (point(1e-12, 0.0, 1e-11), "0.000000 % [0.000000, 0.000000]"),
        (point(0.0, 0.0, 0.0018, "none correct"), "0.00 % [0.00, 0.18]"),
        (point(1.0, 0.9982, 1.0, "all correct"), "100.0 % [99.8, 100.0]"),
        (point(0.5, note="one problem"), "50.0 % (one problem)"),
        (point(0.0, note="one problem"), "0.0 % (one problem)"),
        (point(0.002), "0.20 %"),
    ],
)
def test_percent(value, text):
    assert percent(value) == text


def test_counts():
    assert count(2_048_000) == "2,048,000"
    assert (plural(1, "problem"), plural(0, "problem"), plural(2000, "problem")) == (
        "1 problem",
        "0 problems",
        "2,000 problems",
    )
    assert (span(5, 5), span(900, 1024)) == ("5", "900 to 1,024")
    assert (share(1, 4), share(0, 4), share(0, 0)) == ("25.0 %", "0.0 %", "none yet")


def test_rates_have_one_decimal():
    assert (rate(0.00234), rate(0.123, 0.101, 0.149), rate(None)) == ("0.2 %", "12.3 % [10.1, 14.9]", "none")
    assert (k_list([1]), k_list([1, 16, 256])) == ("k = 1", "k = 1, 16 and 256")


def test_several_lines_keep_their_breaks_only():
    assert multiline("a\tb\r\n\x1b[0m", "    ") == "a    b\\r\n\\x1b[0m"


def test_text_is_no_formula_and_no_markup():
    assert (csv_text("=1+1"), csv_text("T=0.4")) == ("'=1+1", "T=0.4")
    assert html("<a href='x'>\n") == "&lt;a href=&#x27;x&#x27;&gt;\\n"


def test_plain_text_cannot_steer_a_terminal():
    shown = plain(HOSTILE)
    assert shown.isprintable()
    assert r"\x1b[31m" in shown and r"\u202e" in shown and r"model\n" in shown
    assert plain("Qwen/Qwen2.5-0.5B-Instruct σ=0.005") == "Qwen/Qwen2.5-0.5B-Instruct σ=0.005"


def test_markdown_text_is_inert():
    shown = markdown(HOSTILE)
    assert "\n" not in shown and "\x1b" not in shown
    for active in ("<", ">", "@", "://", "www."):
        assert active not in shown
    for mark in "|[]`*_#":
        assert all(shown[i - 1] == "\\" or shown[i - 1] == "&" for i, ch in enumerate(shown) if ch == mark)
    assert "http&#58;//y" in shown and "www&#46;z" in shown


def test_markdown_leaves_ordinary_names_readable():
    assert markdown("Qwen/Qwen2.5-0.5B-Instruct (vllm 0.32)") == "Qwen/Qwen2.5-0.5B-Instruct (vllm 0.32)"
    assert markdown("a & b \\ c") == "a &amp; b \\\\ c"
