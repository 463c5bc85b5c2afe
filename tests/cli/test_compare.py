"""``compare``, and ``report`` as a whole, on databases that the real command line filled."""

import csv
import io
import json
import shutil
import sqlite3
from itertools import islice
from pathlib import Path

import pytest

from esprobe.tasks.countdown.generate import GENERATED_SEED, candidates, distinct
from tests.conftest import REPOSITORY, Run, run_esprobe


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two temperatures, sigma 0 and 0.005 over 24 problems; every third problem is solved now and then."""
    rows = list(islice(distinct(candidates(GENERATED_SEED)), 224))
    folder = tmp_path_factory.mktemp("compared")
    script = folder / "model.json"
    texts: dict[str, list[str]] = {"*": ["no", "<answer>1</answer>", " </think>\n<answer>x</answer>"]}
    for index in range(200, 224, 3):
        texts[str(index)] = [f" </think>\n<answer>{rows[index].solution}</answer>", *texts["*"]]
    script.write_text(json.dumps(texts))
    common = ["--engine", "scripted", "--model", script, "--problems", "200:224", "--samples", "16"]
    path = folder / "compared.db"
    for arm in (["sample-temp", "-t", "0.4", "-t", "0.8"], ["sample-perturb", "--sigma", "0", "--sigma", "0.005"]):
        done = run_esprobe(folder, *arm, *common, "--db", path)
        assert done.returncode == 0, done.stderr
    return path


def document(esprobe: Run, *arguments: object) -> dict:
    done = esprobe(*arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "NaN" not in done.stdout
    return json.loads(done.stdout)


def test_sigma_0_is_a_condition_of_its_own(esprobe: Run, database: Path) -> None:
    zero, other = document(esprobe, "passk", "--db", database)["conditions"][-2:]
    assert (zero["label"], zero["kind"], zero["sigma"], zero["samples_min"]) == ("sigma=0", "perturbation", 0.0, 16)
    assert other["sigma"] == 0.005


def test_passk_shows_guessing_with_its_definition(esprobe: Run, database: Path) -> None:
    (null,) = document(esprobe, "passk", "--db", database)["nulls"]
    assert null["label"] == "random expressions" and "ordered pair" in null["description"]
    points = null["pass_at_k"]
    assert [p["k"] for p in points] == [1, 2, 4, 8, 16]
    assert all(0 < p["ci_low"] < p["estimate"] < p["ci_high"] < 1 for p in points)
    assert set(null["by_group"]) == {"3 numbers", "4 numbers"}
    assert "random expressions" in esprobe("passk", "--db", database).stdout


def test_every_format_says_the_same(esprobe: Run, database: Path) -> None:
    given = document(esprobe, "compare", "T=0.4", "sigma=0.005", "--db", database)
    like, these = given["differences"]
    assert (like["target"], these["target"]) == ("problems like these", "these problems")
    assert [p["k"] for p in like["points"]] == [1, 2, 4, 8, 16]
    rows = list(csv.DictReader(io.StringIO(esprobe("compare", "2", "5", "--db", database, "--format", "csv").stdout)))
    assert [float(row["difference"]) for row in rows] == [p["estimate"] for p in like["points"]]
    overlap = given["overlap"]["rows"][-1]
    assert sum(overlap[key] for key in ("only_a", "only_b", "both", "neither")) == 24 == like["problems"]
    for form in ("table", "markdown"):
        text = esprobe("compare", "T=0.4", "sigma=0.005", "--db", database, "--format", form).stdout
        assert all(words in text for words in ("T=0.4", "McNemar", "3 numbers", "same problems (fixed set)"))


def test_a_difference_is_that_of_the_curves(esprobe: Run, database: Path) -> None:
    curves = {c["label"]: c["pass_at_k"] for c in document(esprobe, "passk", "--db", database)["conditions"]}
    points = document(esprobe, "compare", "T=0.4", "sigma=0.005", "--db", database)["differences"][0]["points"]
    for p, a, b in zip(points, curves["T=0.4"], curves["sigma=0.005"], strict=True):
        assert (p["a"], p["b"]) == pytest.approx((a["estimate"], b["estimate"]))
        assert p["estimate"] == pytest.approx(b["estimate"] - a["estimate"])


def test_guessing_and_greedy_can_be_compared_with(esprobe: Run, database: Path) -> None:
    null = document(esprobe, "compare", "null", "sigma=0", "--db", database, "--k", "3")
    assert (null["a"], null["label_a"], null["overlap"]) == (None, "random expressions", None)
    assert [p["k"] for p in null["differences"][0]["points"]] == [3]
    greedy = document(esprobe, "compare", "greedy", "T=0.8", "--db", database)
    assert len({p["a"] for p in greedy["differences"][0]["points"]}) == 1
    assert "greedy answer repeated" in greedy["notes"][0]


def test_one_seed_is_one_noise_in_two_sigmas_above_0_only(esprobe: Run, database: Path, tmp_path: Path) -> None:
    copied = shutil.copy(database, tmp_path / "copied.db")
    again = ["--engine", "scripted", "--model", database.parent / "model.json", "--problems", "200:204"]
    assert esprobe("sample-perturb", *again, "--samples", "2", "--sigma", "0.01", "--db", copied).returncode == 0
    said = "One seed is the same noise"
    for a, b, same in (("sigma=0.01", "sigma=0.005", True), ("sigma=0", "sigma=0.005", False), ("2", "5", False)):
        assert document(esprobe, "compare", a, b, "--db", copied)["shared_seeds"] is same
        assert (said in esprobe("compare", a, b, "--db", copied).stdout) is same


def test_without_luck_it_is_not_said_that_problems_do_not_differ(esprobe: Run, tmp_path: Path) -> None:
    """Of 16 rollouts two or more are right wherever any is: no one of them moves pass@16, on which problems differ."""
    path = tmp_path / "lucky.db"
    common = ["--engine", "scripted", "--model", REPOSITORY / "docs" / "examples" / "script.json", "--db", path]
    assert esprobe("sample-temp", *common, "--problems", "200:206", "--samples", "16", "-t", "0.8").returncode == 0
    told = esprobe("compare", "greedy", "T=0.8", "--db", path).stdout
    assert "(no luck): no interval for same problems (fixed set)" in told
    assert "on every problem" not in told


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("T=0.4", "T=0.9"), "T=0.9 is not in this database"),
        (("2", "T=0.4"), "both names mean T=0.4"),
        (("2", "2"), "both names mean"),
        (("2", "null"), "null must be the first name"),
        (("2", "3", "--k", "17"), "use --k 16 or less"),
        (("2", "3", "--k", "0"), "--k must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(esprobe: Run, database: Path, names: tuple, said: str) -> None:
    done = esprobe("compare", *names, "--db", database)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_a_label_of_several_conditions_asks_for_an_id(esprobe: Run, database: Path, tmp_path: Path) -> None:
    copied = shutil.copy(database, tmp_path / "copied.db")
    again = [
        "--engine",
        "scripted",
        "--model",
        database.parent / "model.json",
        "--problems",
        "200:204",
        "--samples",
        "2",
    ]
    assert esprobe("sample-temp", *again, "-t", "0.4", "--max-tokens", "99", "--db", copied).returncode == 0
    done = esprobe("compare", "greedy", "T=0.4", "--db", copied)
    assert done.returncode == 2 and "name one by its id" in done.stderr
    shorter = document(esprobe, "compare", "2", "7", "--db", copied)
    assert shorter["differences"][0]["problems"] == 4
    assert any("20 problems of T=0.4" in note for note in shorter["notes"])
    assert any("different numbers of rollouts" in note for note in shorter["notes"])


def test_the_report_has_every_part(esprobe: Run, database: Path) -> None:
    text = esprobe("report", "--db", database).stdout
    for heading in (
        "Verdict", "pass@k", "Margin over random guessing", "Best condition on held-out problems", "Differences",
        "Overlap of solved problems", "Coverage, reliability, diversity", "Failure breakdown", "Majority vote", "Cost",
        "Extrapolation beyond n",
    ):  # fmt: skip
        assert f"\n## {heading}\n" in text, heading
    assert "sigma 0, which is numerical noise alone" in text
    whole = document(esprobe, "report", "--db", database)
    assert len(whole["pairs"]) == 10 and len(whole["against_null"]) == 4
    assert [f["k"] for f in whole["verdict"]["primary"]] == [1, 16]
    assert any("k = 256" in line for line in whole["verdict"]["missing"])
    chosen = whole["selection"]["perturbation"]
    assert (chosen["candidates"], chosen["selected_on"] + chosen["judged_on"]) == (16, 24)
    rows = list(csv.DictReader(io.StringIO(esprobe("report", "--db", database, "--format", "csv").stdout)))
    assert {"pass@k", "null", "difference", "cover@tau", "maj@k", "share of rollouts"} <= {
        row["quantity"] for row in rows
    }


def test_a_report_counts_every_problem_that_it_leaves_out(esprobe: Run, database: Path, tmp_path: Path) -> None:
    common = ["--engine", "scripted", "--model", database.parent / "model.json", "--samples", "2"]
    common += ["--no-baseline", "--db", tmp_path / "apart.db"]
    assert esprobe("sample-temp", "-t", "1", "--problems", "200:204", *common).returncode == 0
    assert esprobe("sample-perturb", "--sigma", "0.01", "--problems", "204:208", *common).returncode == 0
    told = esprobe("report", "--db", tmp_path / "apart.db").stdout
    assert "8 problems that not every condition has are left out" in told


def test_fates_answers_and_diversity_are_those_stored(esprobe: Run, database: Path) -> None:
    condition = document(esprobe, "report", "--db", database)["conditions"][1]
    with sqlite3.connect(database) as connection:
        stored = dict(
            connection.execute(
                "SELECT coalesce(failure, 'correct'), count(*) FROM rollout WHERE condition_id = 2 GROUP BY 1"
            )
        )
    connection.close()
    assert {fate["word"]: fate["rollouts"] for fate in condition["detail"]["taxonomy"]["fates"]} == stored
    assert condition["detail"]["diversity"]["mean_distinct"] == 1  # the script knows one solution of each problem
    vote = {p["k"]: p["estimate"] for p in condition["detail"]["vote"]["points"]}
    assert vote[1] == pytest.approx(condition["pass_at_k"][0]["estimate"])
    assert vote[16] == pytest.approx(condition["detail"]["counts"]["coverage"])  # nobody else has a value
