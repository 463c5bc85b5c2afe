"""A saved perturbed model is, loaded as any other, the model that the engine perturbs to."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from esprobe.engines import EngineOptions
from esprobe.engines.checkpoint import ORIGIN, find_checkpoint
from esprobe.engines.save import save_perturbed, save_trained
from esprobe.engines.transformers import TransformersEngine
from esprobe.errors import ModelError, UsageError
from esprobe.spec import Perturbation, Prompt
from tests.conftest import Run
from tests.engines.conftest import MakeCheckpoint
from tests.engines.contract import request_for, texts, trained


def load(folder: Path, dtype: str = "float32") -> TransformersEngine:
    return TransformersEngine.load(TransformersEngine.identify(str(folder), dtype), EngineOptions(batch_size=8))


def assert_same_model(folder: Path, out: Path, perturbation: Perturbation, dtype: str, prompts: list[Prompt]) -> None:
    requests = [request_for(prompt, i) for i, prompt in enumerate(prompts)]
    engine = load(folder, dtype)
    with engine.perturbed(perturbation) as touched:
        expected, answers = engine.weight_digest(), texts(engine, requests)
    saved = out / f"{perturbation.noise}-{dtype}"
    assert save_perturbed(find_checkpoint(str(folder)), perturbation, dtype, saved) == touched
    loaded = load(saved, dtype)
    assert loaded.weight_digest() == expected
    assert texts(loaded, requests) == answers


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("tied", [True, False])
def test_loading_it_gives_the_perturbed_weights_to_the_bit(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, prompts: list[Prompt], dtype: str, tied: bool
) -> None:
    folder = make_checkpoint(tie_word_embeddings=tied)
    assert_same_model(folder, tmp_path, Perturbation(57, 0.05), dtype, prompts)


@pytest.mark.parametrize("perturbation", [Perturbation(3, 0.05, "tied"), Perturbation(3, 0.05, scope="mlp|embed")])
def test_schemes_and_scopes(
    checkpoint: Path, tmp_path: Path, prompts: list[Prompt], perturbation: Perturbation
) -> None:
    assert_same_model(checkpoint, tmp_path, perturbation, "float32", prompts)


def with_copied_head(folder: Path, change: float = 0.0) -> Path:
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + change
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_tied_copy_in_the_checkpoint_gets_the_same_numbers(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, prompts: list[Prompt]
) -> None:
    folder = with_copied_head(make_checkpoint())
    assert_same_model(folder, tmp_path, Perturbation(57, 0.05), "float32", prompts)
    saved = load_file(tmp_path / "iid-float32" / "model.safetensors")
    assert torch.equal(saved["lm_head.weight"], saved["model.embed_tokens.weight"])


def test_a_scope_of_a_tied_copy_alone_is_refused_before_anything_is_drawn(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, esprobe: Run
) -> None:
    folder = with_copied_head(make_checkpoint())
    command = ["sample-perturb", "--model", folder, "--sigma", "0.01", "--scope", "lm_head", "--db", tmp_path / "x.db"]
    done = esprobe(*command, "--samples", "1", "--problems", "200:201")
    assert done.returncode == 2, done.stderr
    assert "--scope 'lm_head' matches none of the" in done.stderr


def test_a_head_that_is_said_to_be_tied_and_is_not_has_noise_of_its_own(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, prompts: list[Prompt]
) -> None:
    assert_same_model(with_copied_head(make_checkpoint(), 0.5), tmp_path, Perturbation(57, 0.05), "float32", prompts)


def in_three_files(folder: Path) -> Path:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {f"model-0000{i + 1}-of-00003.safetensors": names[i::3] for i in range(3)}
    for file, held in files.items():
        save_file({name: tensors[name] for name in held}, folder / file, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": {name: f for f, held in files.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_a_checkpoint_in_several_files(make_checkpoint: MakeCheckpoint, tmp_path: Path, prompts: list[Prompt]) -> None:
    folder = with_copied_head(make_checkpoint())
    tensors = load_file(folder / "model.safetensors")
    index = json.loads((in_three_files(folder) / "model.safetensors.index.json").read_text())
    assert_same_model(folder, tmp_path, Perturbation(57, 0.05), "float16", prompts)
    saved = json.loads((tmp_path / "iid-float16" / "model.safetensors.index.json").read_text())
    assert saved["weight_map"] == index["weight_map"]
    assert saved["metadata"]["total_size"] == 2 * sum(tensor.numel() for tensor in tensors.values())


def test_the_folder_is_an_ordinary_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "saved"
    save_perturbed(find_checkpoint(str(checkpoint)), Perturbation(57, 0.005), "bfloat16", out)
    assert {path.name for path in out.iterdir()} == {*(path.name for path in checkpoint.iterdir()), ORIGIN}
    config, original = (json.loads((folder / "config.json").read_text()) for folder in (out, checkpoint))
    assert config == original | {"dtype": "bfloat16"}
    with safe_open(out / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert metadata == {"format": "pt"}
    origin = json.loads((out / ORIGIN).read_text())
    assert (origin["seed"], origin["sigma"], origin["dtype"]) == (57, 0.005, "bfloat16")
    assert origin["fingerprint"] == find_checkpoint(str(checkpoint)).fingerprint
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_whoever_may_read_one_file_may_read_the_weights(checkpoint: Path, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        save_perturbed(find_checkpoint(str(checkpoint)), Perturbation(57, 0.005), "float32", tmp_path / "saved")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "saved").iterdir()} == {0o666 & ~umask}


def test_sigma_zero_is_the_model_itself(checkpoint: Path, tmp_path: Path) -> None:
    save_perturbed(find_checkpoint(str(checkpoint)), Perturbation(57, 0.0), "float32", tmp_path / "same")
    assert load(tmp_path / "same").weight_digest() == load(checkpoint).weight_digest()


@pytest.mark.parametrize(
    ("change", "dtype", "said"),
    [
        (lambda weight: weight.fill_(float("nan")), "float32", "holds values that are not finite in float32"),
        (lambda weight: weight.fill_(1e6), "float16", "holds values that are not finite in float16"),
        (lambda weight: weight[:0], "float32", "is empty in float32"),
    ],
)
def test_a_checkpoint_that_nobody_could_draw_from_is_not_saved(
    make_checkpoint: MakeCheckpoint,
    tmp_path: Path,
    change: Callable[[torch.Tensor], torch.Tensor],
    dtype: str,
    said: str,
) -> None:
    folder = make_checkpoint()
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = change(tensors["model.norm.weight"])
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=f"model.norm.weight of .* {said}"):
        save_perturbed(find_checkpoint(str(folder)), Perturbation(57, 0.005), dtype, tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(checkpoint: Path, tmp_path: Path) -> None:
    model, noise = find_checkpoint(str(checkpoint)), Perturbation(57, 0.005)
    empty = tmp_path / "empty"
    empty.mkdir()
    save_perturbed(model, noise, "float32", empty)
    before = (empty / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="not empty"):
        save_perturbed(model, Perturbation(58, 0.005), "float32", empty)
    assert (empty / "model.safetensors").read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ModelError, match="not empty"):
        save_perturbed(model, noise, "float32", tmp_path / "file")


def test_what_fails_leaves_nothing_behind(checkpoint: Path, tmp_path: Path) -> None:
    model = find_checkpoint(str(checkpoint))
    with pytest.raises(UsageError, match="--scope 'nothing' matches none"):
        save_perturbed(model, Perturbation(1, 0.1, scope="nothing"), "float32", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ModelError, match="cannot be written"):
        save_perturbed(model, Perturbation(1, 0.1), "float32", tmp_path / "file" / "out")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_trained_model_is_the_evolved_one_to_the_bit(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, prompts: list[Prompt], dtype: str
) -> None:
    folder = with_copied_head(make_checkpoint())
    engine, requests = load(folder, dtype), [request_for(prompt, i) for i, prompt in enumerate(prompts)]
    state, trajectory = engine.evolve(trained(3)), trained(3)
    scalars, saved_state = save_trained(find_checkpoint(str(folder)), trajectory, dtype, tmp_path / "out")
    loaded = load(tmp_path / "out", dtype)
    assert saved_state == state
    assert loaded.weight_digest() == engine.weight_digest()
    assert texts(loaded, requests) == texts(engine, requests)
    with engine.perturbed(Perturbation(1, 0.1)) as touched:
        assert scalars == touched
    engine.settle()
    noise = Perturbation(57, 0.01, sign=-1)
    save_trained(find_checkpoint(str(folder)), trajectory, dtype, tmp_path / "noisy", perturbation=noise)
    with engine.perturbed(noise), loaded.perturbed(noise):
        assert load(tmp_path / "noisy", dtype).weight_digest() == engine.weight_digest() == loaded.weight_digest()


def test_a_trained_model_says_what_it_is(checkpoint: Path, tmp_path: Path) -> None:
    trajectory = trained(3, scope="mlp")
    scalars, _ = save_trained(find_checkpoint(str(checkpoint)), trajectory, "bfloat16", tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as file:
        changed = {name for name in file.keys() if "mlp" in name}  # noqa: SIM118
        assert scalars == sum(file.get_tensor(name).numel() for name in changed)
    assert json.loads((tmp_path / "out" / ORIGIN).read_text()) == {
        "model": str(checkpoint),
        "fingerprint": find_checkpoint(str(checkpoint)).fingerprint,
        "dtype": "bfloat16",
        "recipe": trajectory.recipe,
        "iterations": 3,
        "trajectory": trajectory.digest,
    }


def test_a_model_without_updates_is_the_model_itself(checkpoint: Path, tmp_path: Path) -> None:
    _, state = save_trained(find_checkpoint(str(checkpoint)), trained(0), "float32", tmp_path / "same")
    assert load(tmp_path / "same").weight_digest() == load(checkpoint).weight_digest()
    assert state == load(checkpoint).evolve(trained(0))


def test_the_trained_model_of_a_checkpoint_in_several_files(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = in_three_files(with_copied_head(make_checkpoint()))
    engine = load(folder)
    engine.evolve(trained(2), tmp_path / "snapshots", write_after_s=0)
    assert len(list((tmp_path / "snapshots").iterdir())) == 1
    state = engine.evolve(trained(3))
    found = find_checkpoint(str(folder))
    for name, snapshots in (("without", None), ("with", tmp_path / "snapshots")):
        _, saved_state = save_trained(found, trained(3), "float32", tmp_path / name, snapshots)
        assert saved_state == state
        assert load(tmp_path / name).weight_digest() == engine.weight_digest()
    assert not caplog.records


def test_a_training_that_fails_leaves_nothing_behind(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--scope 'nothing' matches none .* trained"):
        save_trained(find_checkpoint(str(checkpoint)), trained(1, scope="nothing"), "float32", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
