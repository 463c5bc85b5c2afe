"""Two tasks and three models in one file: labels that are taken back, filters, and a report for each task."""

import csv
import io
import itertools
import json
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Run, run_esprobe

RUN = "checkpoints/2026-11-03_countdown-grpo-qwen2.5-0.5b-instruct-lr1e-6-kl0.001-rollout16"
MODELS = ("base.json", *(f"{RUN}/global_step_{step}/actor/huggingface/model.json" for step in (100, 250)))
CAPITALS = {
    "name": "capitals",
    "data": "capitals.jsonl",
    "prompt": {"user": "Capital of {country}?"},
    "answer": "{capital}",
    "extract": "whole",
    "compare": "text",
}
ROWS = [("France", "Paris"), ("Italy", "Rome"), ("Japan", "Tokyo"), ("Peru", "Lima"), ("Kenya", "Nairobi")]
SCRIPTED = ("--engine", "scripted", "-t", "0.8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("several")
    (made / "capitals.yaml").write_text(json.dumps(CAPITALS))
    (made / "capitals.jsonl").write_text("".join(json.dumps({"country": c, "capital": t}) + "\n" for c, t in ROWS))
    script = json.loads((REPOSITORY / "docs" / "examples" / "signs.json").read_text())
    for number, model in enumerate(MODELS):
        (made / model).parent.mkdir(parents=True, exist_ok=True)
        texts = script | {"2": ["Tokyo"] * number + ["Kyoto"], "*": ["Paris", *["Rome"] * number]}
        (made / model).write_text(json.dumps(texts))
        run(made, "sample-temp", *SCRIPTED, "--model", model, "--problems", "200:206", "--samples", "8", "-t", "1")
        run(made, "sample-temp", *SCRIPTED, "--model", model, "--task", "capitals.yaml", "--samples", "8")
    return made


def run(folder: Path, *words: object) -> str:
    done = run_esprobe(folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def labels(folder: Path, *words: object) -> dict[str, str]:
    """Condition id by printed label."""
    rows = json.loads(run(folder, *words, "--format", "json"))["conditions"]
    return {row.get("name", row.get("display_label")): str(row["id"]) for row in rows}


def test_labels_name_the_task_and_the_telling_part_of_the_model(folder: Path) -> None:
    found = labels(folder, "status")
    assert len(found) == 15
    assert {"greedy, countdown, base.json", "T=0.8, capitals, global_step_250"} <= set(found)


@pytest.mark.parametrize("filters", [(), ("--task", "countdown"), ("--task", "capitals.yaml", "--model", "base.json")])
def test_every_printed_label_is_taken_back(folder: Path, filters: tuple[str, ...]) -> None:
    printed = list(csv.DictReader(io.StringIO(run(folder, "passk", *filters, "--format", "csv"))))
    names = list(dict.fromkeys(row["condition"] for row in printed if row["kind"] in ("greedy", "temperature")))
    assert len(names) == {0: 15, 2: 9, 4: 2}[len(filters)]
    for name in names:
        again = csv.DictReader(io.StringIO(run(folder, "passk", *filters, "--condition", name, "--format", "csv")))
        assert {row["condition"] for row in again if row["kind"] != "null"} == {name}
        shown = json.loads(run(folder, "show", *filters, "--condition", name, "--limit", 1, "--format", "json"))
        assert len(shown["rollouts"]) == 1
    for a, b in itertools.pairwise(names):
        if ("capitals" in a) == ("capitals" in b):
            compared = json.loads(run(folder, "compare", a, b, *filters, "--format", "json"))
            assert (compared["label_a"], compared["label_b"]) == (a, b)


def test_a_name_that_means_several_says_which(folder: Path) -> None:
    done = run_esprobe(folder, "compare", "T=0.8", "T=1", "--task", "countdown")
    assert done.returncode == 2
    assert "T=0.8 names several conditions; name one by its id or its whole label: 2 (T=0.8, base.json)" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("passk", "--task", "gsm8k"), "--task gsm8k is no task of this database"),
        (("passk", "--model", "nobody"), "--model nobody is no model of these conditions; there are: base.json ("),
        (("passk", "--model", "model.json"), "--model model.json fits several models"),
        (("compare", "--base", "base.json", "--trained", "global_step_250"), "several tasks (countdown, capitals)"),
        (("report", "--format", "json"), "name one with --task, or a file with --output"),
    ],
)
def test_filters_that_fit_nothing_or_too_much(folder: Path, words: tuple[str, ...], said: str) -> None:
    done = run_esprobe(folder, *words)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_passk_has_a_table_for_each_task_none_wider_for_long_paths(folder: Path) -> None:
    text = run(folder, "passk")
    assert text.startswith("countdown: pass@k") and "\n\ncapitals: pass@k" in text
    assert max(map(len, text.splitlines())) <= 160  # columns of the tests' terminal
    assert "checkpoints/" not in text


def test_each_task_has_a_report_of_its_own(folder: Path, tmp_path: Path) -> None:
    run(folder, "report", "-o", tmp_path / "all.html")
    assert all(path.read_text().lower().startswith("<!doctype html>") for path in tmp_path.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"all-countdown.html", "all-capitals.html"}
    both = run(folder, "report", "--no-figures")
    one, other = (run(folder, "report", "--no-figures", "--task", task) for task in ("countdown", "capitals"))
    assert both == f"{one}\n{other}"
    plain = both.replace("\\", "")
    assert "T=0.8, global_step_100" in plain and f"{RUN}/global_step_100" in plain  # the path is in the setup


def test_a_long_path_does_not_squeeze_a_figure(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")  # whose warning that nothing is left for the axes is an error here
    run(folder, "report", "--model", "global_step_250", "--task", "countdown", "-o", tmp_path / "one.md")
    assert len(list(tmp_path.glob("one-*.png"))) > 5


def test_rescoring_one_task_leaves_the_other_alone(folder: Path, tmp_path: Path) -> None:
    database = tmp_path / "copy.db"
    run(folder, "backup", database)
    run(folder, "rescore", "--db", database, "--task", "countdown", "--scorer", "strict", "--write")
    scorers = dict(scorers_by_task(database))
    assert scorers["countdown"] == "strict/1" and scorers["capitals"].startswith("text/")
    run(folder, "verify", "--db", database)
    filters = ("--task", "countdown", "--model", "global_step_100")
    one = json.loads(run(folder, "rescore", "--db", database, "--scorer", "es-paper", *filters, "--format", "json"))
    assert {change["model"] for change in one["conditions"]} == {MODELS[1]}


def scorers_by_task(database: Path) -> set[tuple[str, str]]:
    query = (
        "SELECT DISTINCT json_extract(identity, '$.task'), scorer.name FROM work "
        "JOIN session ON session.id = session_id JOIN scorer ON scorer.id = scorer_id "
        "JOIN condition ON condition.id = condition_id"
    )
    with sqlite3.connect(database) as connection:
        return set(connection.execute(query).fetchall())


def test_a_task_file_that_was_moved_is_named_where_it_is(folder: Path, tmp_path: Path) -> None:
    for name in ("capitals.yaml", "capitals.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "s.json").write_text(json.dumps({"*": ["Rome"]}))
    run(tmp_path, "sample-temp", *SCRIPTED, "--task", "capitals.yaml", "--model", "s.json", "--samples", 2)
    (tmp_path / "moved").mkdir()
    (tmp_path / "capitals.yaml").rename(tmp_path / "moved" / "c.yaml")
    done = run_esprobe(tmp_path, "rescore")
    assert done.returncode == 2 and "does not exist any more" in done.stderr
    assert "esprobe rescore --task NEW/PATH/capitals.yaml" in done.stderr
    assert run_esprobe(tmp_path, "rescore", "--task", "moved/c.yaml").returncode == 0


def test_a_model_can_be_given_a_name(esprobe: Run, script: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"*": ["no"]}))
    few = [*SCRIPTED, "--problems", "200:202", "--samples", "2"]
    assert esprobe("sample-temp", *few, "--model", script, "--name", "base").returncode == 0
    assert esprobe("sample-temp", *few, "--model", other).returncode == 0
    assert {"T=0.8, base", "T=0.8, other.json"} <= set(labels(tmp_path, "status"))
    # A model that is complete already can be named, or renamed, by the same command.
    assert esprobe("sample-temp", *few, "--model", other, "--name", "es-500").returncode == 0
    assert {"T=0.8, base", "T=0.8, es-500"} <= set(labels(tmp_path, "status"))
    taken = esprobe("sample-temp", *few, "--model", other, "--name", "base")
    assert taken.returncode == 2 and "--name base is the name of another model" in taken.stderr
    assert esprobe("merge", "esprobe.db", "--into", "merged.db").returncode == 0
    assert labels(tmp_path, "status", "--db", "merged.db") == labels(tmp_path, "status")
    salvaged = esprobe("salvage", "esprobe.db", "--into", "salvaged.db")
    assert salvaged.returncode == 0, salvaged.stderr
    assert labels(tmp_path, "status", "--db", "salvaged.db") == labels(tmp_path, "status")
    for wrong, why in (("greedy", "a kind of condition"), ("12", "the id of"), ("a,b", "32 letters"), ("x" * 33, "32")):
        refused = esprobe("sample-temp", *few, "--model", other, "--name", wrong)
        assert refused.returncode == 2 and f"--name {wrong!r} cannot name a model" in refused.stderr
        assert why in refused.stderr
    third = tmp_path / "third.json"
    third.write_text(json.dumps({"*": ["none"]}))
    refused = esprobe("sample-temp", *few, "--model", third, "--name", "other.json")
    assert refused.returncode == 2 and "is what another model of" in refused.stderr
    refused = esprobe("sample-temp", *few, "--model", other, "--name", "countdown")
    assert refused.returncode == 2 and "is the name of a task" in refused.stderr
