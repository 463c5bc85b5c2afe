"""``esprobe scan`` as it is typed, on the bundled model."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import typer

from esprobe import defaults
from esprobe.cli.main import make_app
from esprobe.cli.sample import sample_perturb, sample_temp
from esprobe.cli.sampling_options import NoiseOptions, SamplingOptions, TokenOptions, VllmOptions, WorkerOptions
from esprobe.cli.scan import REPLACED, ScanOptions, kept_options
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
    assert "--problems 0:100" in following
    assert invoke(*shlex.split(following)[1:], "--samples", "8").stdout.startswith("nothing to do")


def test_a_figure_that_could_not_be_written_is_refused_before_anything_is_drawn(tmp_path: Path, script: Path) -> None:
    pytest.importorskip("matplotlib")
    done = invoke("scan", "--engine", "scripted", "--model", script, "--db", tmp_path / "e.db", "--figure", "scan.doc")
    assert (done.code, done.stdout) == (2, "")
    assert "--figure must be a file name such as scan.png, got scan.doc" in done.stderr
    assert not (tmp_path / "e.db").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--problems", "200:201"], "is one problem"),
        (["--space", "weight", "--top-p", "0.9"], "--space weight decodes greedily"),
        (["--space", "token", "--scope", "mlp"], "--space token adds no noise"),
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
    more = invoke(*shlex.split(following)[1:], "--samples", "8")
    assert more.stdout.startswith("nothing to do"), more.stderr


def test_the_printed_next_command_runs_and_reuses_the_scan(tmp_path: Path, script: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text(json.dumps([{"numbers": [1, 2], "target": "3", "context": "[1 2] 3"}] * 40))
    scan = (
        *("scan", "--engine", "scripted", "--model", script, "--data", data, "--db", tmp_path / "e.db"),
        *("--problems", "2:40", "--points", "3", "--prompt", "raw", "--noise", "tied", "--seed", "7"),
        *("--max-tokens", "64", "--stuck-timeout", "50"),
    )
    done = invoke(*scan)
    assert done.code == 0, done.stderr
    following = shlex.split(done.stdout.splitlines()[-1].removeprefix("next: "))
    assert following[:2] == ["esprobe", "sample-perturb"]
    assert following[following.index("--stuck-timeout") + 1] == "50.0"
    assert invoke(*following[1:], "--samples", "8").stdout.startswith("nothing to do")
    more = invoke(*following[1:], "--samples", "9")
    band = following.count("--sigma")
    assert band and f"({band * 38} now)" in more.stdout  # one more seed of each sigma; the baseline is stored


def test_without_problems_of_its_own_the_next_command_samples_the_study(tmp_path: Path, script: Path) -> None:
    done = invoke("scan", "--engine", "scripted", "--model", script, "--db", tmp_path / "e.db", "--points", "2")
    assert done.code == 0, done.stderr
    assert "--problems" not in done.stdout
    assert kept_options(sample_perturb, ScanOptions()) == []
    assert kept_options(sample_perturb, ScanOptions(problems="1:9")) == ["--problems", "1:9"]


def changed(group: type[Any]) -> Any:
    """A group of options, none of which has its default value."""
    values = {}
    for field in fields(group):
        match field.default:
            case bool():
                values[field.name] = not field.default
            case int() | float():
                values[field.name] = field.default + 1
            case None:
                special = {"workers": 3, "max_tokens": 3, "problems": "1:2", "stop": ["x", "y z"]}
                values[field.name] = special.get(field.name, "x")
            case _:
                values[field.name] = "x"
    return group(**values)


@pytest.mark.parametrize(("name", "command"), [("sample-perturb", sample_perturb), ("sample-temp", sample_temp)])
def test_every_option_of_a_sampling_command_is_kept_by_a_scan_or_replaced(
    name: str, command: Callable[..., None]
) -> None:
    groups = [changed(group) for group in (ScanOptions, VllmOptions, WorkerOptions, NoiseOptions, TokenOptions)]
    words = kept_options(command, *groups)
    parsed = typer.main.get_command(make_app()).commands[name].make_context(name, words)  # type: ignore[attr-defined]
    given = {key: value for group in groups for key, value in asdict(group).items()}
    assert parsed.params.keys() - given.keys() <= REPLACED
    kept = {key for key in parsed.params if key not in REPLACED}
    assert kept == {key for key in given if key in parsed.params} - REPLACED
    assert {key: parsed.params[key] for key in kept} == {key: given[key] for key in kept}


def test_a_scan_has_the_defaults_of_a_sampling_command_but_for_its_size() -> None:
    scan, sampling = asdict(ScanOptions()), asdict(SamplingOptions())
    assert {key for key in sampling if scan[key] != sampling[key]} == {"samples"}
    assert scan["samples"] == defaults.SCAN_SAMPLES
    assert (ScanOptions.most_problems, SamplingOptions.most_problems) == (defaults.SCAN_PROBLEMS, None)
