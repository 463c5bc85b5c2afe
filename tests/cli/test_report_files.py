"""``report`` writes pages and pictures, and never over anything that is not its own."""

import json
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Run
from tests.filled import fill, mixed


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("filled"), mixed())


@pytest.fixture
def database(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(filled, tmp_path / "copied.db"))


def without(tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a library were not installed, for every process started from here."""
    folder = tmp_path / "absent"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules[{library!r}] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")


def test_a_page_is_one_file(esprobe: Run, database: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    before = set(tmp_path.iterdir())
    done = esprobe("report", "--db", database, "--format", "html", "-o", "report.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in set(tmp_path.iterdir()) - before} == {"report.html"}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert esprobe("report", "--db", database, "--format", "html").stdout == page


def test_the_number_of_completions_is_bounded_and_can_be_changed(esprobe: Run, database: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    for most, held in ((0, 0), (1, 45), (100, 45 * 65)):
        done = esprobe("report", "--db", database, "--format", "html", "-o", "r.html", "--completions", most)
        assert done.returncode == 0, done.stderr
        assert f"holds {held:,} completions, at most {most} of a problem" in (tmp_path / "r.html").read_text("utf-8")
    assert esprobe("report", "--db", database, "--format", "html", "--completions", "-1").returncode == 2


@pytest.mark.storm
def test_a_page_over_50_mb_warns_and_names_the_options(esprobe: Run, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    (tmp_path / "script.json").write_text(json.dumps({"*": ["x" * 1_000_000]}))
    draw = ("sample-temp", "--engine", "scripted", "--model", "script.json", "-t", 1, "--problems", "200:208")
    drawn = esprobe(*draw, "--samples", 7, "--db", "large.db")
    assert drawn.returncode == 0, drawn.stderr
    ask = ("report", "--db", "large.db", "--format", "html", "-o", "r.html", "--characters", 1_000_000)
    done = esprobe(*ask)
    assert done.returncode == 0, done.stderr
    size = (tmp_path / "r.html").stat().st_size
    assert size > 50_000_000
    assert f"the page has {size / 1e6:,.0f} MB" in done.stderr
    assert "--completions 8 or --characters 1,000,000" in done.stderr
    small = esprobe(*ask, "--completions", 1)
    assert (small.returncode, small.stderr) == (0, "")


def test_figures_lie_beside_the_markdown_report(esprobe: Run, database: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = esprobe("report", "--db", database, "-o", "my report.md")
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "my report.md").read_text(encoding="utf-8")
    pictures = sorted(path.name for path in tmp_path.glob("my report-*"))
    assert {Path(name).suffix for name in pictures} == {".png", ".svg"}
    assert "my report-pass-at-k.png" in pictures
    assert all(name.replace(" ", "%20") in text for name in pictures)
    assert text.count(".png)") == len(pictures) / 2
    assert f"{len(pictures)} figure files beside it" in done.stdout
    plain = esprobe("report", "--db", database, "--no-figures", "-o", "plain.md")
    assert plain.returncode == 0
    assert not list(tmp_path.glob("plain-*"))
    assert (tmp_path / "plain.md").read_text(encoding="utf-8") == esprobe("report", "--db", database).stdout


def test_figures_need_a_file_to_lie_beside(esprobe: Run, database: Path) -> None:
    pytest.importorskip("matplotlib")
    assert esprobe("report", "--db", database, "-o", "/dev/null").returncode == 0
    assert not list(Path("/dev").glob("null-*"))
    done = esprobe("report", "--db", database, "--figures")
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs --output" in done.stderr


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_figures_replace_ordinary_files_only(esprobe: Run, database: Path, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    import os

    place, target = tmp_path / "report-pass-at-k.svg", tmp_path / "precious.txt"
    target.write_text("precious")
    {"link": lambda: place.symlink_to(target), "folder": place.mkdir, "pipe": lambda: os.mkfifo(place)}[kind]()
    before = stat.S_IFMT(place.lstat().st_mode)
    done = esprobe("report", "--db", database, "-o", "report.md")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "would replace a link, folder or device" in done.stderr
    assert stat.S_IFMT(place.lstat().st_mode) == before
    assert target.read_text() == "precious"
    assert not (tmp_path / "report.md").exists()  # nothing was written


def test_a_figure_never_overwrites_the_database(esprobe: Run, database: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    odd = database.rename(tmp_path / "report-pass-at-k.png")
    before = odd.read_bytes()
    done = esprobe("report", "--db", odd, "-o", "report.md")
    assert done.returncode == 2
    assert "would be destroyed" in done.stderr
    assert odd.read_bytes() == before


def test_what_to_type_where_a_library_is_missing(
    process: Run, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(tmp_path, "plotly", monkeypatch)
    done = process("report", "--db", database, "--format", "html", "-o", "report.html")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "checkout of esprobe: pip install '.[plot]'" in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_without_matplotlib_the_report_is_words(
    process: Run, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(tmp_path, "matplotlib", monkeypatch)
    done = process("report", "--db", database, "-o", "report.md")
    assert done.returncode == 0
    assert "checkout of esprobe: pip install '.[plot]'" in done.stderr
    assert not list(tmp_path.glob("report-*"))
    asked = process("report", "--db", database, "-o", "report.md", "--figures")
    assert (asked.returncode, "checkout of esprobe: pip install '.[plot]'" in asked.stderr) == (1, True)


def test_completions_in_the_page_are_those_of_the_database(filled: Path) -> None:
    from esprobe.analysis import load_results
    from esprobe.analysis.excerpts import load_explorer

    explorer = load_explorer(filled, load_results(filled), most=7)
    with sqlite3.connect(filled) as connection:
        query = "SELECT completion, correct FROM rollouts WHERE condition = ? AND problem = ? AND seed = ?"
        for problem in explorer.problems:
            assert len(problem.excerpts) == 7
            assert len({(e.condition, e.seed) for e in problem.excerpts}) == 7
            for e in problem.excerpts:
                found = connection.execute(query, (e.condition, int(problem.name), e.seed)).fetchall()
                assert found == [(e.text, int(e.correct))]
            solving = [id_ for id_, c in zip(explorer.conditions, problem.c, strict=True) if c]
            assert [e.condition for e in problem.excerpts[: len(solving)]] == solving
            assert all(e.correct for e in problem.excerpts[: len(solving)])
    connection.close()
    assert [problem.name for problem in explorer.problems] == [str(index) for index in range(200, 245)]


def test_rollouts_made_elsewhere_have_a_page_of_their_own(esprobe: Run, tmp_path: Path) -> None:
    made = REPOSITORY / "docs" / "examples" / "made-elsewhere.jsonl"
    assert esprobe("import", made, "--label", "their model").returncode == 0
    done = esprobe("report", "--format", "html", "--output", "theirs.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert "their model" in (tmp_path / "theirs.html").read_text()


def test_a_folder_that_is_not_there_is_named_and_not_a_figure_in_it(esprobe: Run, database: Path) -> None:
    done = esprobe("report", "--db", database, "-o", "nowhere/report.md")
    assert (done.returncode, done.stdout) == (1, "")
    assert "report.md: no folder " in done.stderr and "create it or name another place" in done.stderr
