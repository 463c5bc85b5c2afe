"""Data that say little say so in words, in every command that reads: no NaN, no traceback."""

import json
import re
import sqlite3
from itertools import islice
from pathlib import Path

import pytest

from esprobe.tasks.countdown.generate import GENERATED_SEED, candidates, distinct
from tests.conftest import Run


def fill(esprobe: Run, folder: Path, answer: str, problems: str, samples: int, *more: str) -> Path:
    """Both arms with a model that always answers alike: right, wrong, or right by turns."""
    script, path = folder / "model.json", folder / "esprobe.db"
    texts = {"*": ["no"]}
    if answer != "wrong":
        rows = islice(distinct(candidates(GENERATED_SEED)), 230)
        right = [f" </think>\n<answer>{row.solution}</answer>" for row in rows]
        texts |= {str(i): [right[i]] if answer == "right" else [right[i], "no"] for i in range(200, 230)}
    script.write_text(json.dumps(texts))
    common = ["--engine", "scripted", "--model", script, "--problems", problems, "--samples", samples, "--db", path]
    for arm in (["sample-temp", "-t", "0.8"], ["sample-perturb", "--sigma", "0.005"]):
        done = esprobe(*arm, *common, *more)
        assert done.returncode == 0, done.stderr
    return path


def read(esprobe: Run, path: Path) -> str:
    """What all commands and formats say of a database; none of them may fail or say NaN."""
    said = []
    for command in (["passk"], ["report"], ["compare", "T=0.8", "sigma=0.005"], ["compare", "null", "sigma=0.005"]):
        for form in ("markdown", "json", "csv"):
            done = esprobe(*command, "--db", path, "--format", form)
            assert done.returncode == 0, (command, form, done.stderr)
            assert re.search(r"\b(nan|inf)\b", done.stdout, re.IGNORECASE) is None, (command, form)
            said.append(done.stdout)
    return "\n".join(said)


@pytest.mark.parametrize(
    ("answer", "problems", "samples", "said"),
    [
        ("turns", "200:201", 8, ["(one problem): no interval", "1 problem is too few to choose"]),
        (
            "turns",
            "200:210",
            1,
            [
                "(one perturbation): no interval",
                "fewer than 8 rollouts",
                "Whether the best sigma is above random expressions cannot be told",
            ],
        ),
        ("right", "200:210", 8, ["100.0 %", "every rollout is correct"]),
        ("wrong", "200:210", 8, ["0.0 %", "no rollout is correct"]),
    ],
    ids=["one problem", "one sample", "all correct", "none correct"],
)
def test_said_in_words(esprobe: Run, tmp_path: Path, answer: str, problems: str, samples: int, said: list) -> None:
    text = read(esprobe, fill(esprobe, tmp_path, answer, problems, samples))
    for words in said:
        assert words in text, words


def test_no_baseline(esprobe: Run, tmp_path: Path) -> None:
    text = read(esprobe, fill(esprobe, tmp_path, "turns", "200:210", 8, "--no-baseline"))
    assert "no greedy baseline over these problems" in text


def test_a_report_on_some_conditions_does_not_say_that_the_others_were_not_sampled(
    esprobe: Run, tmp_path: Path
) -> None:
    path = fill(esprobe, tmp_path, "turns", "200:220", 8)
    text = esprobe("report", "--db", path, "--condition", "sigma=0.005").stdout
    assert "no temperature is among these conditions" in text
    assert "was sampled" not in text and "not sampled" not in text


def test_unequal_n(esprobe: Run, tmp_path: Path) -> None:
    path = fill(esprobe, tmp_path, "turns", "200:220", 8)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM rollout WHERE condition_id = 3 AND seed = 49 AND problem_id < 6")
        connection.execute("DELETE FROM rollout WHERE condition_id = 2 AND problem_id = 7")
    connection.close()
    text = read(esprobe, path)
    assert "problems have 7 to 8 rollouts" in text
    assert "1 problems of sigma=0.005 are left out" in text or "1 problem of sigma=0.005 is left out" in text


def test_a_few_rollouts_beside_a_run_do_not_shrink_what_it_is_judged_on(esprobe: Run, tmp_path: Path) -> None:
    """Such as a scan leaves, a sigma 0 on some problems only, or another limit of tokens."""
    path = fill(esprobe, tmp_path, "turns", "200:230", 8)
    common = ["--engine", "scripted", "--model", tmp_path / "model.json", "--db", path, "--no-baseline"]
    alone = verdict(esprobe, path)
    for more in (
        ["sample-perturb", "--sigma", "0.02", "--samples", "2", "--problems", "200:204"],
        ["sample-perturb", "--sigma", "0", "--samples", "2", "--problems", "200:204"],
        ["sample-temp", "-t", "0.8", "--samples", "2", "--problems", "200:204", "--max-tokens", "7"],
    ):
        assert esprobe(*more, *common).returncode == 0
    found = verdict(esprobe, path)
    assert contrasts(found) == contrasts(alone)
    assert [f["k"] for f in found["verdict"]["primary"]] == [1]
    notes = " ".join(found["selection"]["notes"])
    assert "and left out: sigma=0.02" in notes
    assert "up to 1024 tokens) alone" in notes
    assert "no sigma 0 is among these conditions over all of these problems" in " ".join(found["verdict"]["missing"])


def contrasts(found: dict) -> list:
    """All that was judged, under whatever labels."""
    told = [finding for part in ("primary", "against_null", "against_zero") for finding in found["verdict"][part]]
    return [(f["question"], f["k"], f["estimate"], f["ci_low"], f["ci_high"], f["outcome"]) for f in told]


def verdict(esprobe: Run, path: Path) -> dict:
    found: dict = json.loads(esprobe("report", "--db", path, "--format", "json").stdout)
    return found


def test_no_rollout_at_all(esprobe: Run, tmp_path: Path) -> None:
    path = fill(esprobe, tmp_path, "turns", "200:203", 2)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM rollout")
    connection.close()
    for command in (["passk"], ["report"]):
        for form in ("markdown", "json", "csv"):
            done = esprobe(*command, "--db", path, "--format", form)
            assert (done.returncode, done.stderr) == (0, ""), (command, form, done.stderr)
    assert "nothing stored yet" in esprobe("passk", "--db", path).stdout
    assert (
        "Neither arm is among these conditions, so there is nothing to judge." in esprobe("report", "--db", path).stdout
    )
    for names in (("T=0.8", "sigma=0.005"), ("null", "T=0.8")):
        done = esprobe("compare", *names, "--db", path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "has no rollout yet" in done.stderr
