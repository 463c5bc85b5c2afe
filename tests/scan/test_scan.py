"""``esprobe scan`` as it is typed, on the bundled model."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.sampling.material import invoke, query, rows

SMALL = ["--model", "tiny", "--max-tokens", "32", "--problems", "200:232", "--engine", "transformers"]


@pytest.mark.slow
def test_a_scan_finds_where_the_bundled_model_breaks_and_a_real_run_only_adds(tmp_path: Path) -> None:
    db = tmp_path / "e.db"
    scan = ["scan", "--db", db, *SMALL, "--range", "0.0002:0.08", "--points", "3", "--samples", "4"]
    done = invoke(*scan)
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["sigma", "greedy", "0.0002", "0.004", "0.08"]
    assert lines[2].endswith("inert") and lines[4].endswith("broken")
    assert "The model breaks at sigma 0.08: " in done.stdout
    greedy, cells = lines[1].split(), lines[3].split()
    (correct,), (solved,) = query(
        db, "SELECT avg(correct) FROM rollouts JOIN condition c ON c.id = condition WHERE c.sigma = 0.004"
    ) + query(
        db,
        "SELECT avg(any) FROM (SELECT max(correct) AS any FROM rollouts JOIN condition c ON c.id = condition "
        "WHERE c.sigma = 0.004 GROUP BY problem)",
    )
    assert cells[1:3] == [f"{correct:.1%}", f"{solved:.1%}"]
    assert greedy[1] == f"{query(db, 'SELECT avg(correct) FROM rollout WHERE seed = 0')[0][0]:.1%}"

    before = rows(db)
    again = invoke(*scan)
    assert (again.stdout, rows(db)) == (done.stdout, before)
    more = invoke("sample-perturb", "--db", db, *SMALL, "--sigma", "0.004", "--samples", "6")
    assert "(64 now)" in more.stdout  # two seeds more of 32 problems; the baseline and four seeds were there
    assert set(before) < set(rows(db))
    assert invoke(*scan).stdout == done.stdout  # of what was scanned, whatever was added since


def test_a_scan_of_the_temperature_says_what_to_type_next(tmp_path: Path, script: Path) -> None:
    db = tmp_path / "e.db"
    data = tmp_path / "data.json"
    data.write_text(json.dumps([{"numbers": [1, 2], "target": "3", "context": "[1 2] 3"}] * 40))
    done = invoke(
        *("scan", "--space", "token", "--engine", "scripted", "--model", script, "--data", data, "--db", db),
        *("--problems", "0:100", "--points", "4"),
    )
    assert done.code == 0, done.stderr
    assert re.search(r"band of temperature 0\.1 to 2: ", done.stdout)  # each of 40 problems is solved by 1 text in 4
    following = done.stdout.splitlines()[-1].removeprefix("next: ")
    assert following.startswith("esprobe sample-temp --db ")
    assert invoke(*shlex.split(following)[1:], "--problems", "0:40", "--samples", "8").stdout.startswith(
        "nothing to do"
    )


def test_a_figure_that_could_not_be_written_is_refused_before_anything_is_drawn(tmp_path: Path, script: Path) -> None:
    pytest.importorskip("matplotlib")
    done = invoke("scan", "--engine", "scripted", "--model", script, "--db", tmp_path / "e.db", "--figure", "scan.doc")
    assert (done.code, done.stdout) == (2, "")
    assert "use one such as scan.png" in done.stderr
    assert not (tmp_path / "e.db").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--problems", "200:201"], "is one problem"),
        (["--space", "weight", "--top-p", "0.9"], "--space weight decodes greedily"),
        (["--space", "token", "--scope", "mlp"], "--space token adds none"),
    ],
)
def test_what_could_mean_nothing_is_refused(asked: list[str], said: str, tmp_path: Path) -> None:
    done = invoke("scan", "--db", tmp_path / "e.db", *SMALL, *asked)
    assert (done.code, done.stdout) == (2, "") and said in done.stderr
    assert not (tmp_path / "e.db").exists()


def test_a_scan_of_cut_temperatures_names_them_in_what_follows(tmp_path: Path, script: Path) -> None:
    db, data = tmp_path / "e.db", tmp_path / "data.json"
    data.write_text(json.dumps([{"numbers": [1, 2], "target": "3", "context": "[1 2] 3"}] * 40))
    done = invoke(
        *("scan", "--space", "token", "--engine", "scripted", "--model", script, "--data", data, "--db", db),
        *("--problems", "0:40", "--points", "3", "--top-k", "5", "--top-p", "0.9"),
    )
    assert done.code == 0, done.stderr
    following = done.stdout.splitlines()[-1].removeprefix("next: ")
    more = invoke(*shlex.split(following)[1:], "--problems", "0:40", "--samples", "8")
    assert more.stdout.startswith("nothing to do"), more.stderr
