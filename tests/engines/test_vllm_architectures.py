"""Coverage, liveness and identity of perturbations in the real vLLM, over architectures that fuse in their own ways."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import esprobe.bundled
from esprobe.engines.vllm_names import unties_heads
from tests.conftest import REPOSITORY, Run

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

SIZES = {
    "vocab_size": 320,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}


def random_checkpoint(architecture: str, folder: Path) -> int:
    """A small random checkpoint; its number of floating-point scalars, tied ones once."""
    import transformers

    config = getattr(transformers, f"{architecture}Config")
    if architecture == "Gemma3Text":  # norms with an offset, a tied head, sliding and full attention
        made = config(**SIZES, layer_types=["sliding_attention", "full_attention"], sliding_window=64)
        model = transformers.Gemma3ForCausalLM(made)
    else:
        tied = architecture != "Llama"
        # vLLM pads a vocabulary to a multiple of 64.
        sizes = SIZES if tied else SIZES | {"vocab_size": 330}
        model = getattr(transformers, f"{architecture}ForCausalLM")(config(**sizes, tie_word_embeddings=tied))
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        # A tied head answers with the last word again unless the layers outweigh the embedding.
        parameter.data.normal_(0, 0.01 if "embed" in name else 0.3)
    model.to(torch.float32).save_pretrained(folder)
    tiny = Path(esprobe.bundled.__file__).parent / "tiny"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        shutil.copy(tiny / name, folder)
    return sum(parameter.numel() for parameter in model.parameters())


def store_head(folder: Path, change: float) -> int:
    """Store a head beside the embedding, and leave to the architecture whether it is tied; the scalars it adds."""
    config = json.loads((folder / "config.json").read_text())
    config.pop("tie_word_embeddings", None)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + change
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return tensors["lm_head.weight"].numel() if change else 0


@pytest.mark.filterwarnings("ignore")  # vLLM is imported
@pytest.mark.parametrize(
    ("architecture", "dtype", "stored_head"),
    [
        ("Qwen2", "float32", None),
        ("Llama", "bfloat16", None),
        ("Gemma3Text", "float32", None),
        ("Gemma3Text", "float32", 0.0),
        ("Gemma3Text", "float32", 0.25),
    ],
)
def test_noise_reaches_all_of_every_tensor(
    architecture: str, dtype: str, stored_head: float | None, tmp_path: Path
) -> None:
    if stored_head and not unties_heads():
        pytest.skip("this vLLM drops a head that the architecture ties, which is refused")
    scalars = random_checkpoint(architecture, tmp_path / "model")
    if stored_head is not None:
        scalars += store_head(tmp_path / "model", stored_head)
    command = [sys.executable, "-m", "tests.engines.vllm_architecture", str(tmp_path / "model"), dtype]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=REPOSITORY, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("told:")]
    assert lines, done.stderr[-3000:]
    assert json.loads(lines[0].removeprefix("told:")) == {
        "base equal": True,
        "touched": scalars,
        "perturbed equal": True,
        "texts changed": True,
        "restored": True,
        "loading gives the same": True,
        "restored again": True,
        "dead": [],
    }


@pytest.mark.filterwarnings("ignore")
def test_a_head_that_an_older_vllm_would_drop_is_refused(process: Run, tmp_path: Path) -> None:
    """In token space, where nothing is traced, the completions would be another model's."""
    if unties_heads():
        pytest.skip("this vLLM serves such a head")
    random_checkpoint("Gemma3Text", tmp_path / "model")
    store_head(tmp_path / "model", 0.25)
    words = ["--engine", "vllm", "--model", tmp_path / "model", "--dtype", "float32", "--problems", "200:203"]
    done = process("sample-temp", *words)
    assert (done.returncode, done.stdout) == (1, "")
    line = done.stderr.strip().splitlines()[-1]
    assert "holds lm_head.weight, which differs from the embedding" in line
    assert line.endswith("install vLLM 0.29 or newer")


def test_a_dtype_that_vllm_does_not_serve_is_one_clear_line(process: Run, tmp_path: Path) -> None:
    """float16 for Gemma 3; a device without bfloat16, which no CPU here lacks, is refused in the same place."""
    random_checkpoint("Gemma3Text", tmp_path / "model")
    words = ["--engine", "vllm", "--model", tmp_path / "model", "--dtype", "float16", "--problems", "200:203"]
    done = process("sample-temp", *words)
    assert (done.returncode, done.stdout) == (1, "")
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: vLLM cannot serve") and "does not support float16" in line
    assert line.endswith("choose another --dtype")
