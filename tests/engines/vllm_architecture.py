"""Run in a process of its own (vLLM keeps global state): perturb one checkpoint in the real vLLM and print what held.

python -m tests.engines.vllm_architecture FOLDER DTYPE
"""

import json
import sys
from dataclasses import asdict

from esprobe.engines import EngineOptions
from esprobe.engines.checkpoint import find_checkpoint
from esprobe.engines.transformers import TransformersEngine
from esprobe.engines.vllm import VllmEngine
from esprobe.spec import Perturbation, Prompt
from tests.engines.contract import request_for, texts


def main(folder: str, dtype: str) -> None:
    engine = VllmEngine.load(VllmEngine.identify(folder, dtype), EngineOptions(perturbs=True, max_num_seqs=8))
    reference = TransformersEngine.load(TransformersEngine.identify(folder, dtype), EngineOptions())
    requests = [request_for(Prompt((), f"{i} says" * (1 + i)), i, max_tokens=24) for i in range(8)]
    perturbation = Perturbation(seed=57, sigma=0.05)
    base, base_texts = engine.weight_digest(), texts(engine, requests)
    told = {"base equal": base == reference.weight_digest()}
    with engine.perturbed(perturbation) as touched, reference.perturbed(perturbation):
        told["touched"] = touched
        perturbed = engine.weight_digest()
        told["perturbed equal"] = perturbed == reference.weight_digest() != base
        told["texts changed"] = texts(engine, requests) != base_texts
    told["restored"] = engine.weight_digest() == base and texts(engine, requests) == base_texts
    engine._call("esp_perturb_by_loading", asdict(perturbation))
    told["loading gives the same"] = engine.weight_digest() == perturbed
    engine._call("esp_restore")
    told["restored again"] = engine.weight_digest() == base
    dead = []
    checkpoint = find_checkpoint(folder)
    for name in checkpoint.tensors.keys() - checkpoint.tied_copies(dtype).keys():
        with engine.perturbed(Perturbation(seed=1, sigma=1.0, scope=f"^{name}$")):
            if texts(engine, requests) == base_texts:
                dead.append(name)
    told["dead"] = dead
    print("told:" + json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
