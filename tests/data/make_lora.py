"""Makes tests/data/lora-tiny: a LoRA adapter of the bundled model by the real peft, and digests of what peft merges.

python tests/data/make_lora.py FOLDER (needs peft, which the tests do not)
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

import esprobe.bundled

TINY = Path(esprobe.bundled.__file__).parent / "tiny"


def main(folder: Path) -> None:
    torch.manual_seed(0)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=1,
        lora_alpha=3,
        use_rslora=True,
        target_modules=["q_proj", "v_proj", "down_proj"],
        layers_to_transform=[0, 2],
        rank_pattern={"0.self_attn.v_proj": 2},
        alpha_pattern={"down_proj": 5},
    )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float16), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:  # 64ths, so that products and sums are exact and every machine rounds alike
            parameter.data = torch.randint(-4, 5, parameter.shape).float() / 64
    model.save_pretrained(folder)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float16), folder)
    merged = loaded.merge_and_unload().state_dict()
    digests = {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in sorted(merged.items())}
    digests.pop("lm_head.weight")  # the embedding, to which it is tied
    (folder / "merged.json").write_text(json.dumps(digests, indent=1) + "\n")
    (folder / "README.md").unlink()
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = "tiny"
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
