"""What training adds to the base: ``report`` and ``compare`` on a file that holds a base and a trained model."""

import csv
import io
import json
from itertools import islice
from pathlib import Path

import pytest

from esprobe.tasks.countdown.generate import GENERATED_SEED, candidates, distinct
from tests.cli.test_compare import document
from tests.conftest import Run, run_esprobe

PROBLEMS = range(200, 224)
NEVER_BY_BASE = (200, 208, 216)
ALWAYS_BY_TRAINED = tuple(index for index in PROBLEMS if index % 3)
SCRIPTED = ["--engine", "scripted", "--problems", "200:224", "--samples", "16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models.db: a base that solves most problems now and then, and a trained model that solves few, but always."""
    rows = list(islice(distinct(candidates(GENERATED_SEED)), PROBLEMS.stop))
    made = tmp_path_factory.mktemp("gain")
    right = {index: f" </think>\n<answer>{rows[index].solution}</answer>" for index in PROBLEMS}
    base = {str(i): [right[i], "no", " | <b>no</b>"] for i in PROBLEMS if i not in NEVER_BY_BASE}
    trained = {str(i): [right[i]] for i in ALWAYS_BY_TRAINED}
    for name, script in (("base.json", base), ("runs/trained.json", trained)):
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(json.dumps({"*": ["no"]} | script))
        run(made, "sample-temp", *SCRIPTED, "--db", "models.db", "--model", name, "-t", "0.8")
        run(made, "sample-perturb", *SCRIPTED, "--db", "models.db", "--model", name, "--sigma", "0.005")
    run(made, "sample-temp", *SCRIPTED, "--db", "models.db", "--model", "base.json", "-t", "0.4")
    return made


def run(folder: Path, *arguments: object) -> str:
    done = run_esprobe(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


ROLES = ("--base", "base.json", "--trained", "trained.json")


def test_figures_are_those_of_the_rollouts(esprobe: Run, folder: Path) -> None:
    gain = document(esprobe, "compare", "--db", folder / "models.db", *ROLES)
    curves = {c["id"]: c for c in document(esprobe, "passk", "--db", folder / "models.db")["conditions"]}
    assert (gain["base"]["name"], gain["trained"]["path"]) == ("base.json", "runs/trained.json")
    assert (gain["problems"], gain["decoding"], gain["solved_greedily"]) == (24, "greedy", len(ALWAYS_BY_TRAINED))
    (pass_1,) = gain["pass_1"]["points"]
    assert pass_1["b"] == pytest.approx(len(ALWAYS_BY_TRAINED) / 24)
    assert pass_1["ci_low"] < pass_1["estimate"] < pass_1["ci_high"]
    # Temperatures first, of those the one that both have; then the base's other one, then the sigma.
    assert [reach["decoding"] for reach in gain["reaches"]] == ["T=0.8", "T=0.4", "sigma=0.005"]
    assert [pair["decoding"] for pair in gain["coverage"]] == ["T=0.8", "sigma=0.005"]
    points = curves[gain["reaches"][0]["condition"]]["pass_at_k"]
    k = gain["reaches"][0]["reaching_k"]["k"]
    below, above = max(p["k"] for p in points if p["estimate"] < pass_1["b"]), points[-1]["k"]
    assert below < k < above
    assert gain["reaches"][0]["solved"] == len([i for i in ALWAYS_BY_TRAINED if i not in NEVER_BY_BASE])
    assert all(p["b"] == pytest.approx(16 / 24) for p in gain["coverage"][0]["difference"]["points"])
    assert gain["coverage"][0]["crossing_k"]["k"] == pytest.approx(k)  # the trained model's curve is flat


def test_problems_of_one_alone_come_with_a_completion_that_solves_them(esprobe: Run, folder: Path) -> None:
    gain = document(esprobe, "compare", "--db", folder / "models.db", *ROLES)
    assert gain["only_trained"]["problems"] == [200, 208]
    assert [shown["problem"] for shown in gain["only_trained"]["shown"]] == [200, 208]
    assert all("<answer>" in shown["text"] for shown in gain["only_trained"]["shown"])
    alone = gain["only_base"]
    assert set(alone["problems"]) == {i for i in PROBLEMS if not i % 3} - {216}
    shown = alone["shown"][-1]
    stored = run(
        folder, "show", "--db", "models.db", "--problem", shown["problem"], "--seed", shown["seed"], "--condition",
        shown["condition"], "--format", "json",
    )  # fmt: skip
    (rollout,) = json.loads(stored)["rollouts"]
    assert rollout["correct"] and rollout["completion"] == shown["text"]


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_the_sentence_and_the_tables_are_in_every_format(esprobe: Run, folder: Path, form: str) -> None:
    said = document(esprobe, "compare", "--db", folder / "models.db", *ROLES)["sentence"]
    assert "at pass@1 (greedy decoding)" in said and "2 are not" in said and "cross at k* =" in said
    text = run(folder, "compare", "--db", "models.db", *ROLES, "--format", form)
    assert said.split(" [")[0] in text and "T=0.4" in text and "Only the base: 7 problems" in text
    assert "<answer>" in text if form == "table" else "<answer>" not in text


def test_csv_has_a_line_for_each_value(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(folder, "compare", "--db", "models.db", *ROLES, "--format", "csv"))))
    assert [row["quantity"] for row in rows].count("k that reaches pass@1") == 3
    assert [row["k"] for row in rows if row["decoding"] == "T=0.8" and row["k"]] == ["1", "2", "4", "8", "16"]


def test_the_report_has_the_section_and_the_verdict_is_of_the_base(esprobe: Run, folder: Path) -> None:
    report = document(esprobe, "report", "--db", folder / "models.db", *ROLES)
    alone = document(esprobe, "compare", "--db", folder / "models.db", *ROLES)
    assert report["training_gain"] == {key: value for key, value in alone.items() if key != "schema"}
    labels = {c["display_label"]: c["model"] for c in report["conditions"]}
    judged = report["verdict"]["primary"]
    assert judged and all(labels[c["a"]] == labels[c["b"]] == "base.json" for c in judged)
    assert report["arms"] is not None
    text = run(folder, "report", "--db", "models.db", *ROLES)
    assert "## What training adds to the base" in text and "Of the base, base.json, alone:" in text


def test_a_name_may_be_the_end_of_a_path_or_a_fingerprint(folder: Path) -> None:
    by_name = run(folder, "compare", "--db", "models.db", *ROLES, "--format", "json")
    fingerprint = json.loads(by_name)["trained"]["fingerprint"]
    for trained in ("runs/trained.json", "./runs/trained.json", fingerprint[:8]):
        same = run(
            folder, "compare", "--db", "models.db", "--base", "base.json", "--trained", trained, "--format", "json"
        )
        assert same == by_name
    assert run(folder, "compare", "--db", "models.db", "--base", "base.json", "--format", "json") == by_name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--base", "other"), "--base other is no model of these conditions"),
        (("--base", "rained.json"), "--base rained.json is no model of these conditions"),
        (("--base", "base.json", "--trained", "base.json"), "both mean base.json"),
        ((), "name both with --base and --trained"),
        (("T=0.8", "--base", "base.json"), "compare --base MODEL --trained MODEL"),
        ((*ROLES, "--k", "17"), "pass@17 cannot be estimated"),
    ],
)
def test_roles_that_are_not_clear_are_refused(folder: Path, options: tuple[str, ...], said: str) -> None:
    done = run_esprobe(folder, "compare", "--db", "models.db", *options)
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr


def test_models_without_a_problem_in_common_are_not_compared(folder: Path, tmp_path: Path) -> None:
    for name, problems in (("base.json", "200:206"), ("runs/trained.json", "206:212")):
        options = ["--engine", "scripted", "--problems", problems, "--samples", "4", "-t", "0.8"]
        run(folder, "sample-temp", *options, "--db", tmp_path / "apart.db", "--model", name)
    done = run_esprobe(folder, "compare", "--db", tmp_path / "apart.db", *ROLES)
    assert done.returncode == 2 and "cannot be compared" in done.stderr
    assert "in common over the same problems" in run(folder, "report", "--db", tmp_path / "apart.db", *ROLES)


def test_without_a_baseline_the_pair_at_k_1_is_compared(folder: Path, tmp_path: Path) -> None:
    for name in ("base.json", "runs/trained.json"):
        options = ["--model", name, "-t", "0.8", "--no-baseline"]
        run(folder, "sample-temp", *SCRIPTED, "--db", tmp_path / "bare.db", *options)
    gain = json.loads(run(folder, "compare", "--db", tmp_path / "bare.db", *ROLES, "--format", "json"))
    assert (gain["decoding"], gain["solved_greedily"], gain["reaches"][0]["solved"]) == ("T=0.8", None, None)
    assert gain["pass_1"]["points"][0]["b"] == pytest.approx(len(ALWAYS_BY_TRAINED) / 24)
    assert "at pass@1 (T=0.8)" in gain["sentence"] and "greedily" not in gain["sentence"]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """real.db: the bundled model, and a perturbed copy of it that says what it was made from."""
    made = tmp_path_factory.mktemp("real")
    run(made, "save-model", "--model", "tiny", "--sigma", "0.013", "--seed", "7", "spoilt")
    for model in ("tiny", "spoilt"):
        options = ["--model", model, "--problems", "200:212", "--samples", "4", "--max-tokens", "24", "-t", "0.8"]
        run(made, "sample-temp", "--db", "real.db", *options)
    return made


def test_roles_are_found_where_a_checkpoint_says_what_it_was_made_from(real: Path) -> None:
    gain = json.loads(run(real, "compare", "--db", "real.db", "--format", "json"))
    assert (gain["base"]["name"], gain["trained"]["name"]) == ("tiny", "spoilt")
    sessions = json.loads(run(real, "report", "--db", "real.db", "--format", "json"))["sessions"]
    assert [s["engine"].get("made_from") for s in sessions] == [None, gain["base"]["fingerprint"]]
    turned = json.loads(run(real, "compare", "--db", "real.db", "--base", "spoilt", "--format", "json"))
    assert turned["base"]["name"] == "spoilt" and turned["pass_1"]["points"][0]["estimate"] == pytest.approx(
        -gain["pass_1"]["points"][0]["estimate"]
    )


def test_a_report_of_one_condition_has_no_roles(real: Path) -> None:
    assert "What training adds" not in run(real, "report", "--db", "real.db", "--condition", "1")


def test_equal_architecture_alone_is_no_role(real: Path, tmp_path: Path) -> None:
    """Two perturbed copies: each is made from a model that is not in the file."""
    run(real, "save-model", "--model", "tiny", "--sigma", "0.013", "--seed", "8", tmp_path / "other")
    for model in ("spoilt", str(tmp_path / "other")):
        options = ["--model", model, "--problems", "200:203", "--samples", "2", "--max-tokens", "8", "-t", "0.8"]
        run(real, "sample-temp", "--db", tmp_path / "two.db", *options)
    text = run(real, "report", "--db", tmp_path / "two.db")
    assert "report --base MODEL --trained MODEL" in text
    assert "training_gain" not in json.loads(run(real, "report", "--db", tmp_path / "two.db", "--format", "json"))


def test_pictures_show_both_models(real: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run(real, "report", "--db", "real.db", "--output", tmp_path / "gain.md")
    assert (tmp_path / "gain-training-gain.png").read_bytes().startswith(b"\x89PNG")
    assert "gain-training-gain.svg" in (tmp_path / "gain.md").read_text()
