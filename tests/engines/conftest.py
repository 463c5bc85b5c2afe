"""Small real checkpoints, built on the spot: random weights, the bundled tokenizer."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from esprobe.spec import Prompt

MakeCheckpoint = Callable[..., Path]


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> MakeCheckpoint:
    """Builds a Qwen2 checkpoint folder; keyword arguments go to its configuration."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    import esprobe.bundled

    tokenizer = Path(esprobe.bundled.__file__).parent / "tiny"

    def make(**changes: object) -> Path:
        folder = tmp_path_factory.mktemp("checkpoint")
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
            shutil.copy(tokenizer / name, folder)
        torch.manual_seed(0)
        settings = {
            "vocab_size": 280,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "tie_word_embeddings": True,
            # Random weights of the usual size make a model that repeats one token; these do not.
            "initializer_range": 0.4,
        }
        model = Qwen2ForCausalLM(Qwen2Config(**(settings | changes)))
        model.save_pretrained(folder / "weights")
        for path in (folder / "weights").iterdir():
            if path.name != "generation_config.json":
                shutil.move(path, folder / path.name)
        shutil.rmtree(folder / "weights")
        return folder

    return make


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint: MakeCheckpoint) -> Path:
    return make_checkpoint()


@pytest.fixture(scope="session")
def prompts() -> list[Prompt]:
    """Chat prompts of unequal length."""
    return [Prompt((("user", f"What is {i}" + " and so on" * i + "?"),), "Well, ") for i in range(7)]
