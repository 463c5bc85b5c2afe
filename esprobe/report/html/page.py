"""The page: the words and tables of the Markdown report, interactive figures, and the explorer."""

import re
from collections.abc import Sequence
from string import Template
from typing import Any

from markdown_it import MarkdownIt

from esprobe.report.charts.model import Figure
from esprobe.report.charts.pairs import best_of_arms
from esprobe.report.html.embed import as_data, asset, policy
from esprobe.report.plotly_figures import as_plotly
from esprobe.report.sections import Part, arranged, figures_by_section
from esprobe.report.text import count, plural
from esprobe.results.explorer import Excerpt, Explorer
from esprobe.results.results import Results
from esprobe.safe_text import html, multiline, plain
from esprobe.spec import Kind

SCRIPTS = ("data.js", "figures.js", "tables.js", "explorer.js")

TOGGLES = '<fieldset class="toggles" id="toggles"><legend>Conditions shown in figures</legend></fieldset>'


def as_page(results: Results, explorer: Explorer, plotly: str) -> str:
    """The report as one HTML file.

    Args:
        results: all numbers.
        explorer: the problems with their completions.
        plotly: the text of plotly.min.js.
    """
    drawn = figures_by_section(results)
    parts = arranged(results, drawn)
    titles = [part.title for part in parts[1:]] + ["Problems"]
    body = [_section(part) for part in parts]
    scripts = [plotly, *map(asset, SCRIPTS)]
    page = Template(asset("page.html"))
    return page.substitute(
        policy=policy(scripts),
        generator="esprobe",
        title=html(f"pass@k on {results.task}"),
        css=asset("page.css"),
        contents="".join(f'<li><a href="#{_slug(title)}">{html(title)}</a></li>' for title in titles),
        body="\n".join([body[0], TOGGLES, *body[1:], _explorer(results, explorer)]),
        data=as_data(_data(results, [figure for figures in drawn.values() for figure in figures], explorer)),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def _section(part: Part) -> str:
    figures = "\n".join(map(_figure, part.figures))
    return f"<section>{_html([part.heading])}{figures}{_html(part.lines)}</section>"


def _figure(figure: Figure) -> str:
    return (
        f'<figure id="{html(figure.name)}"><h3>{html(figure.title)}</h3>'
        f"<figcaption>{html(figure.reading)}</figcaption>"
        f'<div class="controls"></div><p class="absent" hidden></p><div class="plot"></div></figure>'
    )


def _html(lines: Sequence[str]) -> str:
    """Markdown of the report as HTML. Raw HTML is off: whatever a label holds is shown as it is."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll"><table data-sortable>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    tokens = parser.parse("\n".join(lines))
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open":
            token.attrSet("id", _slug(inline.content))
    rendered: str = parser.renderer.render(tokens, parser.options, {})
    return rendered


def _slug(title: str) -> str:
    return "section-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _explorer(results: Results, explorer: Explorer) -> str:
    held = sum(len(problem.excerpts) for problem in explorer.problems)
    heads = ["problem", "class", "asked", *(f"{results.labels[id_]}, correct" for id_ in explorer.conditions)]
    if not explorer.problems:
        return (
            '<section id="explorer"><h2 id="section-problems">Problems</h2><p class="absent">Nothing is stored yet, so '
            "there is no problem to look at.</p></section>"
        )
    return Template(asset("explorer.html")).substitute(
        bound=f"This page holds {plural(held, 'completion')}, at most {count(explorer.most)} of a problem and "
        f"{count(explorer.longest)} characters of each.",
        heads="".join(f"<th>{html(head)}</th>" for head in heads),
    )


def _data(results: Results, drawn: Sequence[Figure], explorer: Explorer) -> dict[str, Any]:
    """What the scripts read."""
    return {
        "conditions": [{"id": r.id, "label": plain(results.labels[r.id])} for r in results.conditions],
        "figures": [
            {
                "name": figure.name,
                "choices": [
                    {"label": c.label, "options": list(map(plain, c.options)), "first": c.first} for c in figure.choices
                ],
                "charts": {",".join(map(str, key)): as_plotly(chart) for key, chart in figure.charts.items()},
            }
            for figure in drawn
        ],
        "explorer": _explored(results, explorer),
    }


def _explored(results: Results, explorer: Explorer) -> dict[str, Any]:
    place = {id_: number for number, id_ in enumerate(explorer.conditions)}
    of_arm = {
        f"any {kind}": [place[r.id] for r in results.sampled if r.kind is kind]
        for kind in Kind
        if kind.parameter is not None
    }
    arms = [{"label": label, "places": places} for label, places in of_arm.items() if places]
    # The arms against each other where both are there; otherwise the conditions that the figures compare first.
    first = (0, 1) if len(arms) == 2 else tuple(len(arms) + place[id_] for id_ in best_of_arms(results))
    return {
        "conditions": [{"label": plain(results.labels[id_])} for id_ in explorer.conditions],
        "arms": arms,
        "first": first,
        "problems": [
            {"name": p.name, "group": plain(p.group), "inputs": plain(p.inputs), "n": p.n, "c": p.c}
            for p in explorer.problems
        ],
        "fields": ("condition", "seed", "correct", "answer", "failure", "tokens", "finish", "text"),
        "completions": [[_row(place[e.condition], e) for e in problem.excerpts] for problem in explorer.problems],
    }


def _row(condition: int, e: Excerpt) -> tuple[Any, ...]:
    """A completion in the order of "fields": names once for all make the page smaller."""
    answer, failure = (None if text is None else plain(text) for text in (e.answer, e.failure))
    return (
        condition,
        e.seed,
        e.correct,
        answer,
        failure,
        e.tokens,
        plain(e.finish),
        multiline(e.text.replace("\r\n", "\n"), "\t"),
    )
