"""An adapter is merged as peft merges it, and what is not merged here is refused by name."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from esprobe.engines.checkpoint import find_checkpoint
from esprobe.engines.convert import convert
from esprobe.errors import ModelError
from tests.conftest import REPOSITORY
from tests.engines.conftest import MakeCheckpoint

ADAPTER = REPOSITORY / "tests" / "data" / "lora-tiny"
"""Made by the real peft: tests/data/make_lora.py."""


@pytest.mark.parametrize("pickled", [False, True])
def test_it_is_the_model_that_peft_merges_bit_for_bit(tmp_path: Path, pickled: bool) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(ADAPTER, folder)
    if pickled:
        torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
        (folder / "adapter_model.safetensors").unlink()
    made = convert(folder, find_checkpoint("tiny"), tmp_path / "out")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    digests = {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in merged.items()}
    assert digests == json.loads((ADAPTER / "merged.json").read_text())
    assert (made.dtype, made.changed) == ("float16", 6)


def adapter(folder: Path, tensors: dict[str, torch.Tensor], **settings: object) -> Path:
    folder.mkdir()
    told = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none", **settings}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    named = {f"base_model.model.{name}": tensor.contiguous() for name, tensor in tensors.items()}
    save_file(named, folder / "adapter_model.safetensors")
    return folder


def factors(module: str, rows: int, columns: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    a, b = 0.1 * torch.randn(2, columns), 0.1 * torch.randn(rows, 2)
    return {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}


def test_embeddings_and_whole_tensors_of_an_untied_model(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    folder = make_checkpoint(tie_word_embeddings=False)
    base = load_file(folder / "model.safetensors")
    a, b = 0.1 * torch.randn(2, 280), 0.1 * torch.randn(32, 2)
    head = base["lm_head.weight"] + 0.01
    module = "model.embed_tokens"
    tensors = {f"{module}.lora_embedding_A": a, f"{module}.lora_embedding_B": b, "lm_head.weight": head}
    source = adapter(tmp_path / "lora", tensors, modules_to_save=["lm_head"])
    convert(source, find_checkpoint(str(folder)), tmp_path / "out")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(merged["lm_head.weight"], head)
    assert torch.allclose(merged[f"{module}.weight"], base[f"{module}.weight"] + 2 * (b @ a).T, atol=1e-7)


@pytest.mark.parametrize("module", ["model.embed_tokens", "lm_head"])
def test_what_is_tied_is_not_merged_into_one_of_both(checkpoint: Path, tmp_path: Path, module: str) -> None:
    source = adapter(tmp_path / "lora", {f"{module}.weight": torch.ones(280, 32)}, modules_to_save=[module])
    with pytest.raises(ModelError, match=rf"changes {module}.weight, and the base .* ties its output head"):
        convert(source, find_checkpoint(str(checkpoint)), tmp_path / "out")


QUERY = "model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"peft_type": "IA3"}, 'peft_type "IA3"'),
        ({"use_dora": True}, "use_dora true"),
        ({"bias": "lora_only"}, 'bias "lora_only"'),
        ({"init_lora_weights": "pissa"}, 'init_lora_weights "pissa"'),
        ({"trainable_token_indices": [3]}, r"trainable_token_indices \[3\]"),
        ({"of_a_later_peft": {"a": 1}}, 'of_a_later_peft {"a": 1}'),
        ({"lora_alpha": "four"}, 'lora_alpha "four"'),
        ({"r": 3}, "rank 3 with the base's"),
        ({"rank_pattern": {"q_proj": 1}}, "rank 1 with the base's"),
        ({"rank_pattern": {"(": 1}}, "which is no regular expression"),
    ],
)
def test_what_is_not_merged_is_named(checkpoint: Path, tmp_path: Path, settings: dict[str, object], said: str) -> None:
    source = adapter(tmp_path / "lora", factors(QUERY, 32, 32), **settings)
    with pytest.raises(ModelError, match=said):
        convert(source, find_checkpoint(str(checkpoint)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (factors("model.layers.7.self_attn.q_proj", 32, 32), "2 of 2 tensors of the adapter .* belong to no tensor"),
        (factors(QUERY, 64, 32), "factors of model.layers.0.self_attn.q_proj.weight have shapes"),
        ({f"{QUERY}.lora_A.weight": torch.ones(2, 32)}, "factors of model.layers.0.self_attn.q_proj.weight have"),
        (factors(QUERY, 32, 32) | {f"{QUERY}.lora_magnitude_vector": torch.ones(32)}, "belong to no tensor"),
        ({"model.norm.weight": torch.full((32,), float("nan"))}, "model.norm.weight would hold values that are not"),
    ],
)
def test_an_adapter_of_another_model(
    checkpoint: Path, tmp_path: Path, tensors: dict[str, torch.Tensor], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        convert(adapter(tmp_path / "lora", tensors), find_checkpoint(str(checkpoint)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
