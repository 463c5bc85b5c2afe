"""``sample``: one file for both spaces stores what the two commands store with a file each."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.sampling.material import query

SHARED = "problems: 200:203\nsamples: 3\nseed: 7\nmax-tokens: 24\n"
TOKEN, WEIGHT = "temperature: [0.5, 1.0]\ntop-p: 0.9\n", "sigma: [0.0, 0.002]\nnoise: tied\n"


def rows(esprobe: Run, database: str) -> list[dict[str, Any]]:
    done = esprobe("export", "--db", database)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted(found, key=lambda row: (row["condition_digest"], row["seed"], row["problem"]))


@pytest.mark.parametrize("engine", ["scripted", pytest.param("transformers", marks=pytest.mark.slow)])
def test_one_file_equals_two(esprobe: Run, script: Path, tmp_path: Path, engine: str) -> None:
    pytest.importorskip("yaml")
    model = f"model: {script if engine == 'scripted' else 'tiny'}\nengine: {engine}\n"
    for name, own in (("both", TOKEN + WEIGHT), ("token", TOKEN), ("weight", WEIGHT)):
        (tmp_path / f"{name}.yaml").write_text(SHARED + model + own)
    both = esprobe("sample", "--config", "both.yaml", "--db", "one.db")
    assert both.returncode == 0, both.stderr
    assert both.stdout == (
        "21 of 21 rollouts stored in one.db (21 now)\n21 of 21 rollouts stored in one.db (18 now)\n"
        "next: esprobe passk --db one.db\n"
    )
    for command, name in (("sample-temp", "token"), ("sample-perturb", "weight")):
        assert esprobe(command, "--config", f"{name}.yaml", "--db", "two.db").returncode == 0
    assert len(rows(esprobe, "one.db")) == 39
    assert rows(esprobe, "one.db") == rows(esprobe, "two.db")
    digests = "SELECT digest FROM condition ORDER BY id"
    assert query(tmp_path / "one.db", digests) == query(tmp_path / "two.db", digests)
    again = esprobe("sample", "--config", "both.yaml", "--db", "one.db")
    assert again.stdout.count("nothing to do: all 21 rollouts are in one.db") == 2
    planned = esprobe("plan", "--config", "both.yaml", "--db", "new.db")
    assert planned.returncode == 0 and "sigma=0.002" in planned.stdout and "T=0.5" in planned.stdout


def test_one_space_alone_is_sampled_alone(esprobe: Run, script: Path) -> None:
    few = ("--engine", "scripted", "--model", script, "--problems", "200:202", "--samples", "2")
    done = esprobe("sample", *few, "--sigma", "0.01")
    assert "6 of 6 rollouts stored" in done.stdout and done.stdout.count("rollouts stored") == 1
    assert "esprobe passk" in done.stdout


@pytest.mark.parametrize(
    ("command", "keys", "said"),
    [
        ("sample-temp", "sigma: 0.01\n", "both spaces are sampled by: esprobe sample --config x.yaml\n"),
        ("sample-perturb", "top-p: 0.9\n", "both spaces are sampled by: esprobe sample --config x.yaml\n"),
        ("sample", "temperatur: 0.8\nsigmas: 0.01\n", "as an option; did you mean temperature, sigma?\n"),
        ("plan", "max_token: 5\n", "as an option; did you mean max-tokens?\n"),
        ("sample", "zzzzz: 5\n", "as an option; its options are: baseline, batch-invariant"),
        ("sample", "temperature: []\n", "sets temperature to an empty list, which is no value"),
    ],
)
def test_a_key_that_is_no_option(esprobe: Run, tmp_path: Path, command: str, keys: str, said: str) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "x.yaml").write_text(keys)
    done = esprobe(command, "--config", "x.yaml")
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr, done.stderr
