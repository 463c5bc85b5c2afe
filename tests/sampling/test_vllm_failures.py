"""What goes wrong when the real vLLM starts: one clear line, exit code 1, nothing on stdout."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from esprobe.engines.checkpoint import find_checkpoint
from tests.conftest import Run
from tests.sampling.test_resume import stored

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

PROBLEMS, SAMPLES = 200, 8
ARM = ["sample-perturb", "--sigma", "0.005", "--model", "tiny", "--engine", "vllm", "--samples", str(SAMPLES)]
ARM += ["--problems", f"200:{200 + PROBLEMS}", "--max-tokens", "64", "--max-num-seqs", "32", "--db", "esprobe.db"]


def error_line(stderr: str) -> str:
    """The one line that a command ends with; libraries may have logged before it."""
    (line,) = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert stderr.rstrip().endswith(line)
    assert "Traceback" not in stderr.split("loading tiny")[1].split("error: ")[1]
    return line


def test_more_memory_than_there_is(process: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "100000")
    done = process(*ARM)
    assert (done.returncode, done.stdout) == (1, "")
    assert "vLLM cannot serve 'tiny' as float32 here" in error_line(done.stderr)
    assert "100000.0 GiB" in done.stderr
    assert stored(tmp_path / "esprobe.db") == 0


def test_an_allocation_that_the_system_refuses(tmp_path: Path) -> None:
    """Sixteen GiB of keys and values under a limit of ten."""
    done = subprocess.run(
        [sys.executable, "-m", "esprobe", *ARM],
        cwd=tmp_path,
        env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "16"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (10 * 2**30, 10 * 2**30)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr[-2000:]
    assert "memory" in error_line(done.stderr)


def test_sizes_that_vllm_refuses_are_one_line(process: Run) -> None:
    done = process(*ARM, "--max-num-seqs", "100000000")
    assert (done.returncode, done.stdout) == (1, "")
    assert "vLLM cannot serve" in error_line(done.stderr)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        (["--model", "./nowhere"], 1, "no folder './nowhere'"),
        (["--dtype", "float8"], 2, "got 'float8'"),
    ],
)
def test_a_model_or_a_dtype_that_is_not_there(changes: list[str], code: int, said: str, process: Run) -> None:
    done = process(*ARM, *changes)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line


@pytest.mark.parametrize("name", ["mlp.down_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.bias"])
def test_weights_that_would_be_made_up(name: str, process: Run, tmp_path: Path) -> None:
    """vLLM itself does not miss parts of linear layers; token space would then be some other model's at every start."""
    folder = Path(shutil.copytree(find_checkpoint("tiny").folder, tmp_path / "lacking"))
    tensors = load_file(folder / "model.safetensors")
    del tensors[f"model.layers.1.{name}"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    arm = [
        "sample-temp",
        "-t",
        "0.8",
        "--engine",
        "vllm",
        "--samples",
        "2",
        "--problems",
        "200:210",
        "--max-num-seqs",
        "8",
    ]
    done = process(*arm, "--model", folder, "--db", "esprobe.db")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "lacks 1 of the weights of a Qwen2ForCausalLM, or parts of them (first: model.layers.1." in line
    assert "Traceback" not in done.stderr
    assert stored(tmp_path / "esprobe.db") == 0


@pytest.mark.parametrize("command", [ARM, ["doctor", "--model", "tiny", "--engine", "vllm"]], ids=["sample", "doctor"])
def test_batch_invariant_kernels_that_a_cpu_lacks(command: list[str], process: Run) -> None:
    done = process(*command, "--batch-invariant")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--batch-invariant needs a GPU" in error_line(done.stderr)
