"""``convert`` on the command line, and what --model says about folders that need it."""

import shlex
from pathlib import Path

import torch
from safetensors.torch import load_file

import esprobe.bundled
from tests.conftest import REPOSITORY, Run

TINY = Path(esprobe.bundled.__file__).parent / "tiny"
LORA = REPOSITORY / "tests" / "data" / "lora-tiny"


def words(line: str) -> list[str]:
    return shlex.split(line.removeprefix("next: esprobe "))


def test_it_prints_commands_that_run(esprobe: Run, tmp_path: Path) -> None:
    tensors = load_file(TINY / "model.safetensors")
    torch.save(tensors | {"rotary_emb.inv_freq": torch.ones(4)}, tmp_path / "es.pth")
    done = esprobe("convert", "es.pth", "--base", "tiny", "my model")
    assert done.returncode == 0, done.stderr
    assert "50 tensors in float16" in done.stdout
    assert "left out, no weights: rotary_emb.inv_freq" in done.stdout
    assert "none differs from tiny" in done.stdout
    (doctor,) = (words(line) for line in done.stdout.splitlines() if line.startswith("next: "))
    assert esprobe(*doctor).returncode == 0
    drawn = esprobe("sample-temp", "--model", "my model", "-t", "0.8", "--problems", "200:201", "--max-tokens", "4")
    assert drawn.returncode == 0, drawn.stderr
    again = esprobe("convert", "es.pth", "--base", "tiny", "my model")
    assert again.returncode == 1
    assert "already exists and is not empty" in again.stderr


def test_force_warns_of_what_it_lets_pass(esprobe: Run, tmp_path: Path) -> None:
    tensors = load_file(TINY / "model.safetensors")
    name = "model.layers.0.self_attn.o_proj.weight"
    torch.save(tensors | {name: tensors[name].T.contiguous()}, tmp_path / "es.pth")
    refused = esprobe("convert", "es.pth", "--base", "tiny", "out")
    assert refused.returncode == 1
    assert f"{name} is nearer to the base's transpose" in refused.stderr
    assert refused.stderr.count("\n") == 1
    forced = esprobe("convert", "es.pth", "--base", "tiny", "out", "--force")
    assert forced.returncode == 0, forced.stderr
    assert f"warning: {name} is nearer" in forced.stderr
    assert f"1 of them differ from tiny; largest relative change of a matrix 1.4 ({name})" in forced.stdout


def test_a_model_that_needs_it_says_so(esprobe: Run, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "es.pth")
    for model, said in (
        (LORA, f"is a LoRA adapter and no model by itself; merge it .*esprobe convert {LORA} --base MODEL OUT"),
        (tmp_path, f"has no .safetensors weights but es.pth; .*esprobe convert {tmp_path} --base MODEL OUT"),
        (tmp_path / "es.pth", "is a file, but a model must be a folder; .*esprobe convert"),
    ):
        done = esprobe("doctor", "--model", model)
        assert done.returncode == 1
        before, _, after = said.partition(".*")
        assert before in done.stderr
        assert after in done.stderr
        assert "transformers" not in done.stderr
    done = esprobe("convert", tmp_path / "nothing.pth", "--base", "tiny", "out")
    assert done.returncode == 1
    assert "there is nothing at" in done.stderr
