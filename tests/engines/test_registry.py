"""Engines by name: built in, and registered by another package."""

import subprocess
import sys
from pathlib import Path

import pytest

from esprobe.engines import EngineOptions, check_options, engine_class, find_engine, resolve
from esprobe.errors import EngineError, UsageError
from tests.sampling.material import invoke, query

ECHO = '''
from esprobe.engines import EngineEntry, EngineTraits
from esprobe.engines.scripted import ScriptedEngine

class Echo(ScriptedEngine):
    """Answers from a script, under another name."""

ENTRY = EngineEntry("echo", "echo_engine:Echo", traits=EngineTraits(has_weights=False, uses_gpu=False))
LACKING = EngineEntry("lacking", "echo_engine:Echo", packages=("no_such_package_1",))
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another package with engines, as pip would leave it on ``sys.path``."""
    site = tmp_path / "site"
    metadata = site / "echo-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: echo\nVersion: 1\n")
    points = ("echo = echo_engine:ENTRY", "lacking = echo_engine:LACKING", "moved = nowhere_at_all:ENTRY")
    (metadata / "entry_points.txt").write_text("\n".join(["[esprobe.engines]", *points, "odd = echo_engine:Echo"]))
    (site / "echo_engine.py").write_text(ECHO)
    monkeypatch.syspath_prepend(site)
    return site


def test_an_engine_of_another_package_samples(
    installed: Path, tmp_path: Path, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = tmp_path / "e.db"
    words = ["sample-perturb", "--engine", "echo", "--model", script, "--sigma", "0.1", "--problems", "200:203"]
    done = invoke(*words, "--samples", "2", "--db", db)
    assert done.code == 0, done.stderr
    assert query(db, "SELECT DISTINCT json_extract(identity, '$.engine') FROM condition") == [("echo",)]
    assert query(db, "SELECT count(*) FROM rollout") == [(9,)]


def test_an_unknown_name_is_refused_with_all_that_are_installed(installed: Path) -> None:
    with pytest.raises(UsageError, match=r"'steam'.*auto, vllm, transformers, scripted, echo, lacking, moved, odd"):
        resolve("steam")


@pytest.mark.parametrize(
    ("name", "said"), [("moved", "nowhere_at_all:ENTRY, which cannot be imported"), ("odd", "not an EngineEntry")]
)
def test_an_entry_point_that_leads_to_no_engine(installed: Path, name: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        find_engine(name)


def test_packages_that_are_missing_are_named(installed: Path) -> None:
    with pytest.raises(EngineError, match="lacking engine needs no_such_package_1"):
        engine_class("lacking")


@pytest.mark.parametrize("name", ["echo", "transformers"])
def test_options_that_an_engine_does_not_support(installed: Path, name: str) -> None:
    for options, said in (
        (EngineOptions(batch_invariant=True), "--batch-invariant"),
        (EngineOptions(tensor_parallel_size=4), "--tensor-parallel-size 4"),
    ):
        with pytest.raises(UsageError, match=f"{said} is not supported by the {name} engine"):
            check_options(name, options)
        check_options("vllm", options)
        check_options("auto", options)


def test_the_registry_imports_no_engine() -> None:
    code = "import sys, esprobe.engines as e; e.find_engine('vllm'); e.find_engine('scripted')\n"
    code += "print(sorted({'torch', 'vllm', 'transformers', 'numpy', 'esprobe.engines.scripted'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
