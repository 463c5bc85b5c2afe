"""Every command that esprobe prints for the reader to type runs as it is printed."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Run
from tests.sampling.material import query

TASK = {
    "name": "capitals",
    "data": "capital cities.jsonl",
    "prompt": {"user": "Capital of {country}?"},
    "answer": "{capital}",
    "extract": "whole",
    "compare": "text",
    "train": "0:2",
}
COMMON = ("--engine", "scripted", "--model", "my model.json", "--task", "task.yaml", "--db", "my study.db")
SAMPLE = (*COMMON, "--max-tokens", "64", "--prompt", "raw")


def sampled(esprobe: Run) -> None:
    assert esprobe("sample-temp", *SAMPLE, "-t", "1", "--samples", "8").returncode == 0


def exported(esprobe: Run) -> None:
    sampled(esprobe)
    assert esprobe("export", "--db", "my study.db", "-o", "rows.jsonl", "--condition", "T=1").returncode == 0


def damaged(esprobe: Run) -> None:
    sampled(esprobe)


def nothing(esprobe: Run) -> None:
    """Nothing has to be there before."""


CASES: dict[str, tuple[Callable[[Run], None], tuple[object, ...]]] = {
    "sample": (nothing, ("sample", *SAMPLE, "-t", "1", "--sigma", "0.01", "--samples", "2")),
    "sample-temp": (nothing, ("sample-temp", *SAMPLE, "-t", "1", "--samples", "2")),
    "sample-perturb": (nothing, ("sample-perturb", *SAMPLE, "--sigma", "0.01", "--samples", "2")),
    "train-es": (nothing, ("train-es", *SAMPLE, "--iterations", "1", "--population", "2", "--eval-problems", "2:5")),
    "scan weight": (nothing, ("scan", *SAMPLE, "--problems", "0:60", "--points", "3", "--samples", "4")),
    "scan token": (
        nothing,
        ("scan", "--space", "token", *SAMPLE, "--problems", "0:60", "--points", "3", "--samples", "4"),
    ),
    "merge": (sampled, ("merge", "my study.db", "--into", "the whole.db")),
    "import": (
        exported,
        ("import", "rows.jsonl", "--label", "again", "--db", "a copy.db", "--task", "task.yaml"),
    ),
    "salvage": (damaged, ("salvage", "my study.db", "--into", "what is left.db")),
    "rescore": (sampled, ("rescore", "--db", "my study.db", "--scorer", "judge.py:half", "--task", "capitals")),
    "convert": (nothing, ("convert", REPOSITORY / "tests" / "data" / "lora-tiny", "my merged model", "--base", "tiny")),
    "remove": (sampled, ("remove", "--db", "my study.db", "--condition", "T=1, capitals")),
}


@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.slow] * (c == "convert")) for c in CASES])
def test_the_next_command_runs_as_printed(esprobe: Run, tmp_path: Path, case: str) -> None:
    (tmp_path / "task.yaml").write_text(json.dumps(TASK))
    rows = [{"country": f"country {n}", "capital": f"city {n}"} for n in range(60)]
    (tmp_path / "capital cities.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "judge.py").write_text("def half(inputs, completion):\n    return completion.endswith('1')\n")
    right = {str(n): [f"city {n}", f"city {n + 1}"] for n in range(60)}
    (tmp_path / "my model.json").write_text(json.dumps(right | {"*": ["city 1"]}))
    if case == "convert":
        pytest.importorskip("torch")
    before, words = CASES[case]
    before(esprobe)
    done = esprobe(*words)
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"^(?:next|.*; to \w[\w ]*): (esprobe .+)$", done.stdout + done.stderr, re.M)
    assert len(printed) == 1, done.stdout + done.stderr
    _, *following = shlex.split(printed[0])
    ran = esprobe(*following)
    assert ran.returncode == 0, f"{printed[0]}\n{ran.stderr}"
    if following[0].startswith("sample"):  # of the same task, problems, prompt and limit as what was done
        identities = (json.loads(text) for (text,) in query(tmp_path / "my study.db", "SELECT identity FROM condition"))
        assert {(c["task"], c["prompt"], c["max_tokens"]) for c in identities} == {("capitals", "raw", 64)}


def test_every_command_that_prints_one_is_tried() -> None:
    cli = Path(__file__).parents[2] / "esprobe" / "cli"
    printing = {
        path.stem for path in cli.glob("*.py") if re.search(r'f"next: |to \w[\w ]*: \{command\}', path.read_text())
    }
    tried = {words[0] for _, words in CASES.values()}
    named = {"import_": "import", "train_es": "train-es", "save_model": "save-model"}
    assert {named.get(stem, stem) for stem in printing} <= tried | {"sample"}
