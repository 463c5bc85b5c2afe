"""Files of vLLM's fused names become checkpoints that answer as the model did, and what does not fit is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import esprobe.bundled
from esprobe.engines import EngineOptions
from esprobe.engines.checkpoint import ORIGIN, Checkpoint, find_checkpoint
from esprobe.engines.convert import convert
from esprobe.engines.origin import origin
from esprobe.engines.transformers import TransformersEngine
from esprobe.errors import ModelError
from esprobe.spec import MADE_FROM, Prompt
from tests.conftest import REPOSITORY
from tests.engines.conftest import MakeCheckpoint
from tests.engines.contract import request_for, texts

Tensors = dict[str, torch.Tensor]
TINY = Path(esprobe.bundled.__file__).parent / "tiny"


def weights(folder: Path) -> Tensors:
    return load_file(folder / "model.safetensors")


def fused(tensors: Tensors, noise: float = 0.0) -> Tensors:
    """As vLLM holds them: projections stacked, the vocabulary padded, no tied head, caches among them."""
    torch.manual_seed(1)
    moved = {name: (t.float() + noise * torch.randn(t.shape)).to(t.dtype) for name, t in tensors.items()}
    made: Tensors = {}
    for name, tensor in moved.items():
        if "q_proj" in name:
            parts = [moved[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            made[name.replace("q_proj", "qkv_proj")] = torch.cat(parts)
        elif "gate_proj" in name:
            made[name.replace("gate_proj", "gate_up_proj")] = torch.cat([tensor, moved[name.replace("gate", "up")]])
        elif "embed_tokens" in name or "lm_head" in name:
            made[name] = torch.cat([tensor, torch.ones(-len(tensor) % 64, tensor.shape[1]).to(tensor.dtype)])
        elif not any(part in name for part in ("k_proj", "v_proj", "up_proj")):
            made[name] = tensor
    made["model.layers.0.self_attn.rotary_emb.cos_sin_cache"] = torch.zeros(4, 4)
    made["model.layers.0.self_attn.attn._k_scale"] = torch.tensor(1.0)
    return made


def saved(tensors: object, folder: Path) -> Path:
    torch.save(tensors, folder / "es.pth")
    return folder / "es.pth"


def answers(folder: Path, dtype: str, prompts: list[Prompt]) -> list[str]:
    engine = TransformersEngine.load(TransformersEngine.identify(str(folder), dtype), EngineOptions(batch_size=8))
    return texts(engine, [request_for(prompt, i) for i, prompt in enumerate(prompts)])


def assert_same_model(made: Path, original: Path) -> None:
    found, wanted = weights(made), weights(original)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_file_of_fused_names_answers_as_the_model_did(tmp_path: Path, prompts: list[Prompt]) -> None:
    made = convert(saved(fused(weights(TINY)), tmp_path), find_checkpoint("tiny"), tmp_path / "out")
    assert answers(tmp_path / "out", "float32", prompts) == answers(TINY, "float32", prompts)
    assert_same_model(tmp_path / "out", TINY)
    assert made.dtype == "float16"
    assert made.padding == {"model.embed_tokens.weight": 46}
    assert [name.rpartition(".")[2] for name in made.left_out] == ["cos_sin_cache", "_k_scale"]
    assert made.changed == 0


def test_a_trained_file_keeps_its_numbers_and_says_where_they_came_from(checkpoint: Path, tmp_path: Path) -> None:
    tensors = {name: tensor.bfloat16() for name, tensor in weights(checkpoint).items()}
    source = saved(fused(tensors, noise=0.02), tmp_path)
    base = find_checkpoint(str(checkpoint))
    made = convert(source, base, tmp_path / "out")
    assert made.changed == len(base.tensors)
    found, trained = weights(tmp_path / "out"), fused(tensors, noise=0.02)
    assert torch.equal(
        found["model.layers.1.mlp.up_proj.weight"], trained["model.layers.1.mlp.gate_up_proj.weight"][64:]
    )
    assert torch.equal(
        found["model.layers.0.self_attn.v_proj.bias"], trained["model.layers.0.self_attn.qkv_proj.bias"][-16:]
    )
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config == base.config | {"dtype": "bfloat16"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(path.name for path in checkpoint.iterdir()),
        ORIGIN,
    }
    said = json.loads((tmp_path / "out" / ORIGIN).read_text())
    assert (said["fingerprint"], said["converted"]) == (base.fingerprint, made.sha256)


def test_the_same_weights_give_the_same_bytes_whatever_file_and_base_are_called(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was sampled from one of the folders could not be continued with the other."""
    monkeypatch.chdir(tmp_path)
    moved = fused(weights(checkpoint), noise=0.02)
    torch.save(moved, "a.pth")
    save_file(moved, "b.safetensors")
    spellings = [str(checkpoint), os.path.relpath(checkpoint)]
    made: set[tuple[tuple[str, bytes], ...]] = set()
    for i, (file, base) in enumerate([*zip(("a.pth", "b.safetensors"), spellings, strict=True)] * 4):
        out = Path(f"out{i}")
        convert(Path(file), find_checkpoint(base), out)
        made.add(tuple((path.name, path.read_bytes()) for path in sorted(out.iterdir()) if path.name != ORIGIN))
        said = origin(find_checkpoint(str(out)))
        assert said == {MADE_FROM: find_checkpoint(base).fingerprint, f"{MADE_FROM}_model": base}
    assert len(made) == 1
    assert find_checkpoint("out0").fingerprint == find_checkpoint("out1").fingerprint


def with_head(tensors: Tensors) -> Tensors:
    return tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: {f"model.{name}": tensor for name, tensor in with_head(tensors).items()},
        lambda tensors: {f"module._orig_mod.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {name.removeprefix("model."): tensor for name, tensor in tensors.items()},
        lambda tensors: {"iteration": 5, "model_state_dict": tensors},
        with_head,
    ],
    ids=["model twice", "compiled and parallel", "inner model", "state dict", "tied head"],
)
def test_what_tools_put_around_the_names(tmp_path: Path, change: Callable[[Tensors], object]) -> None:
    convert(saved(change(fused(weights(TINY))), tmp_path), find_checkpoint("tiny"), tmp_path / "out")
    assert_same_model(tmp_path / "out", TINY)


def test_ordinary_names_in_a_folder_of_parts(tmp_path: Path) -> None:
    for i in range(2):
        part = dict(list(weights(TINY).items())[i::2])
        (tmp_path / "bin").mkdir(exist_ok=True)
        torch.save(part, tmp_path / "bin" / f"pytorch_model-0000{i}-of-00002.bin")
    convert(tmp_path / "bin", find_checkpoint("tiny"), tmp_path / "out")
    assert_same_model(tmp_path / "out", TINY)


def test_fused_names_in_safetensors_and_a_base_in_parts_with_a_stored_head(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    folder = make_checkpoint(tie_word_embeddings=False)
    original = weights(folder)
    save_file(fused(original), tmp_path / "es.safetensors")
    (folder / "model.safetensors").unlink()
    files = {f"model-0000{i + 1}-of-00002.safetensors": sorted(original)[i::2] for i in range(2)}
    for file, held in files.items():
        save_file({name: original[name] for name in held}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, held in files.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    made = convert(tmp_path / "es.safetensors", find_checkpoint(str(folder)), tmp_path / "out")
    assert made.padding.keys() == {"model.embed_tokens.weight", "lm_head.weight"}
    found = [load_file(tmp_path / "out" / file) for file in files]
    assert all(torch.equal(tensor, original[name]) for part in found for name, tensor in part.items())
    assert sum(map(len, found)) == len(original)


DOWN = "model.layers.0.mlp.down_proj.weight"
OUT = "model.layers.0.self_attn.o_proj.weight"
QKV = "model.layers.0.self_attn.qkv_proj.weight"
EMBED = "model.embed_tokens.weight"
NORM = "model.norm.weight"


def random_like(tensors: Tensors) -> Tensors:
    torch.manual_seed(9)
    return {name: torch.randn(tensor.shape).mul(0.1).to(tensor.dtype) for name, tensor in tensors.items()}


REFUSED: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "one missing": (lambda t: {n: v for n, v in t.items() if n != DOWN}, rf"1 of the base missing \({DOWN}\)"),
    "one left over": (lambda t: t | {"model.layers.9.mlp.down_proj.weight": t[DOWN]}, r"1 left over \(model.layers.9"),
    "one twice": (lambda t: t | {f"model.{DOWN}": t[DOWN]}, rf"1 there twice \(model.{DOWN}\)"),
    "transposed": (lambda t: t | {DOWN: t[DOWN].T.contiguous()}, rf"{DOWN} is 512x128, the base's 128x512"),
    "transposed square": (lambda t: t | {OUT: t[OUT].T.contiguous()}, rf"{OUT} is nearer to the base's transpose"),
    "rows mixed up": (lambda t: t | {QKV: t[QKV].roll(64, 0)}, r"q_proj.weight has correlation -?0\.[0-4]"),
    "foreign": (random_like, "values: .*has correlation"),
    "foreign norm": (lambda t: t | {NORM: torch.zeros_like(t[NORM])}, f"{NORM} moved by"),
    "other sizes": (lambda t: t | {n: v[:, :96] for n, v in t.items() if v.dim() > 1}, "of another shape"),
    "other padding": (lambda t: t | {EMBED: torch.cat([t[EMBED], t[EMBED][:64]])}, f"{EMBED} is 384x128, .* 274x128"),
    "other head": (lambda t: t | {"lm_head.weight": t[EMBED] * 2}, "lm_head.weight of .* differs from"),
    "NaN": (lambda t: t | {NORM: t[NORM] * float("nan")}, f"{NORM} would hold values that are not finite"),
    "infinity": (lambda t: t | {OUT: t[OUT] + float("inf")}, f"{OUT} would hold values that are not finite"),
    "codes": (lambda t: t | {OUT: t[OUT].to(torch.int8)}, f"{OUT} of .* is in int8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_is_written(case: str, tmp_path: Path) -> None:
    change, said = REFUSED[case]
    source = saved(change(fused(weights(TINY))), tmp_path)
    with pytest.raises(ModelError, match=said):
        convert(source, find_checkpoint("tiny"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [source]


def test_force_writes_what_only_the_values_speak_against(tmp_path: Path) -> None:
    tensors = fused(weights(TINY))
    source = saved(tensors | {OUT: tensors[OUT].T.contiguous()}, tmp_path)
    made = convert(source, find_checkpoint("tiny"), tmp_path / "out", force=True)
    assert len(made.unlike) == 1
    assert torch.equal(weights(tmp_path / "out")[OUT], tensors[OUT].T)


def test_biases_that_were_zero_may_move_as_far_as_matrices_do(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    folder = make_checkpoint()  # its biases are zeros, its norms ones
    assert not weights(folder)["model.layers.0.self_attn.q_proj.bias"].any()
    convert(saved(fused(weights(folder), noise=0.05), tmp_path), find_checkpoint(str(folder)), tmp_path / "out")


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return print, ("code was run",)


def test_a_file_is_read_as_tensors_and_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="it would run code that the file names, which is refused"):
        convert(saved({"a": Harmful()}, tmp_path), find_checkpoint("tiny"), tmp_path / "out")
    assert "code was run" not in capfd.readouterr().out


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_that_was_cut_off(tmp_path: Path, kept: float, suffix: str) -> None:
    whole = saved(weights(TINY), tmp_path) if suffix == "pth" else TINY / "model.safetensors"
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(content[: int(kept * len(content))])
    said = r"is not a complete (file of torch\.save|safetensors file).*copy it again"
    with pytest.raises(ModelError, match=said if kept or suffix != "pth" else "is empty, .* copy it again"):
        convert(cut, find_checkpoint("tiny"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"junk text", b"\x89PNG\r\n", b"PK\x03\x04", b"\x80junk"])
def test_what_torch_save_did_not_write_is_told_without_internals(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk.pth").write_bytes(content)
    with pytest.raises(ModelError, match="file that holds the weights|save it again with torch.save") as refused:
        convert(tmp_path / "junk.pth", find_checkpoint("tiny"), tmp_path / "out")
    assert "Error" not in str(refused.value)
    assert "torch.save" in str(refused.value)


def test_a_file_of_an_early_torch_is_read(tmp_path: Path) -> None:
    torch.save(weights(TINY), tmp_path / "early.pth", _use_new_zipfile_serialization=False)
    convert(tmp_path / "early.pth", find_checkpoint("tiny"), tmp_path / "out")
    assert_same_model(tmp_path / "out", TINY)


def from_vllm(folder: Path, dtype: str, file: Path) -> None:
    command = [sys.executable, "-m", "tests.engines.vllm_dump", str(folder), dtype, str(file)]
    done = subprocess.run(command, check=False, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["tiny", "smollm2"])
def test_what_the_real_vllm_holds_answers_as_the_model_did(model: str, tmp_path: Path, prompts: list[Prompt]) -> None:
    folder, dtype = TINY, "float16"
    if model == "smollm2":
        folder, dtype = tmp_path / "smollm2", "bfloat16"
        command = [sys.executable, "-m", "tests.engines.smollm2", str(folder)]
        subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True, timeout=600)
    file = tmp_path / "pytorch_model.pth"
    from_vllm(folder, dtype, file)
    assert any("qkv_proj" in name for name in torch.load(file, weights_only=True, mmap=True))
    convert(file, Checkpoint(model, folder), tmp_path / "out")
    assert_same_model(tmp_path / "out", folder)
    assert answers(tmp_path / "out", "float32", prompts) == answers(folder, "float32", prompts)
