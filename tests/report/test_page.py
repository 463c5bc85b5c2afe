"""The page is one file that asks for nothing, whatever the data hold; what a browser makes of it is tested there."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from esprobe.analysis.excerpts import clipped
from esprobe.report.html.embed import as_data
from esprobe.report.html.page import as_page
from esprobe.results.explorer import Excerpt, ExploredProblem, Explorer
from esprobe.results.results import Results
from tests.report.material import HOSTILE

PLOTLY = "var Plotly = {};"
NASTY = f"</script><script>alert(1)</script><!-- {HOSTILE} \x00 \u2028 \ud800 &lt;"


class Read(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def excerpt(text: str) -> Excerpt:
    return Excerpt(
        condition=2, seed=42, correct=False, answer=NASTY, failure="value", tokens=3, finish="stop", text=text
    )


def explored(text: str) -> Explorer:
    problem = ExploredProblem(
        name="200", group="3 numbers", inputs=NASTY, n=(1, 2, 0, 4, 5), c=(0, 1, 0, 0, 5), excerpts=(excerpt(text),)
    )
    return Explorer((1, 2, 3, 4, 5), (problem,), 8)


def test_nothing_in_the_page_points_outside(results: Results) -> None:
    read = Read(as_page(results, explored("fine"), PLOTLY))
    for tag, attributes in read.tags:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base", "form"), tag
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")


def test_only_the_scripts_of_the_page_may_run(results: Results) -> None:
    read = Read(as_page(results, explored("fine"), PLOTLY))
    policy = next(a["content"] for tag, a in read.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    scripts = [s for s in read.scripts if not s.startswith("{")]
    assert scripts[0] == PLOTLY
    digests = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert set(re.findall("'sha256-([^']+)'", policy)) == digests
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_hostile_names_and_texts_stay_data(results: Results) -> None:
    evil = tuple(replace(r, condition=replace(r.condition, model=NASTY)) for r in results.conditions[:1])
    hostile = replace(results, task=NASTY, conditions=(*evil, *results.conditions[1:]))
    page = as_page(hostile, explored(NASTY), PLOTLY)
    read = Read(page)
    assert sum(tag == "script" for tag, _ in read.tags) == 6
    assert [a for tag, a in read.tags if tag == "script" and a] == [{"type": "application/json", "id": "data"}]
    assert "<script>alert" not in page
    (data,) = (json.loads(script) for script in read.scripts if script.startswith("{"))
    fields = dict(zip(data["explorer"]["fields"], data["explorer"]["completions"][0][0], strict=True))
    assert fields["text"].startswith("</script><script>alert(1)</script><!-- evil|model\n# <script>")
    assert "\\x00 \\u2028 \\ud800 &lt;" in fields["text"]
    assert page.encode()  # a lone surrogate could not be written


def test_no_number_that_json_lacks_gets_in() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_data({"x": float("nan")})
    assert json.loads(as_data({"<&>": "</script>"})) == {"<&>": "</script>"}
    assert not set(as_data({"<&>": "</script>"})) & set("<&>")


def test_lines_and_tabs_stay_and_the_rest_is_spelled_out(results: Results) -> None:
    page = as_page(results, explored("a\r\nb\tc\rd\x1b[0m\u200b\ud800"), PLOTLY)
    (data,) = (json.loads(script) for script in Read(page).scripts if script.startswith("{"))
    assert data["explorer"]["completions"][0][0][-1] == "a\nb\tc\\rd\\x1b[0m\\u200b\\ud800"


def test_a_long_completion_keeps_its_ends() -> None:
    assert clipped("x" * 10, 10) == "x" * 10
    assert clipped("a" * 1500 + "b" * 1500, 1001) == (
        "a" * 500 + "\n[... 1,999 characters are not in this page ...]\n" + "b" * 501
    )
    assert clipped("abc", 0) == "\n[... 3 characters are not in this page ...]\n"


def test_words_and_tables_are_those_of_the_markdown_report(results: Results) -> None:
    page = as_page(results, explored("fine"), PLOTLY)
    for heading in ("Setup", "pass@k", "What is incomplete", "Length and cut-off", "Provenance"):
        assert f">{heading}</h2>" in page
    assert page.count("<table data-sortable>") >= 4
    assert re.search(r"<li>sigma=0.005: \d+ of [\d,]+ planned rollouts are missing", page)
