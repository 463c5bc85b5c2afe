"""Run in a process of its own (vLLM keeps global state): train the bundled model in the real vLLM, and print what held.

python -m tests.engines.vllm_evolved WORKERS perturbs|caches
"""

import json
import sys

from esprobe.engines import EngineOptions
from esprobe.engines.transformers import TransformersEngine
from esprobe.engines.vllm import VllmEngine
from esprobe.spec import Prompt
from tests.engines.contract import request_for, texts, trained


def main(workers: str, use: str) -> None:
    options = EngineOptions(perturbs=use == "perturbs", max_num_seqs=16, tensor_parallel_size=int(workers))
    engine = VllmEngine.load(VllmEngine.identify("tiny", "float32"), options)
    reference = TransformersEngine.load(TransformersEngine.identify("tiny", "float32"), EngineOptions())
    # Long and equal but for the end, so that their beginnings are cached where there is a cache.
    requests = [request_for(Prompt((), "12 + 34 " * 40 + f"{i} is"), i, max_tokens=16) for i in range(16)]
    states, agreed, answers = [], [], set()
    for trajectory in (trained(50, size=0.002), trained(0), trained(3), trained(50, size=0.002)):
        states.append(engine.evolve(trajectory) == reference.evolve(trajectory))
        expected = texts(reference, requests)
        agreed.append(agreement(texts(engine, requests), expected))
        answers.add(tuple(expected))
    engine.settle()
    agreed.append(agreement(texts(engine, requests), expected))
    print("told:" + json.dumps({"states": states, "agreed": agreed, "models": len(answers)}))


def agreement(ours: list[str], theirs: list[str]) -> float:
    """Share of equal texts; logits that tie within float32 may fall either way."""
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)


if __name__ == "__main__":
    main(*sys.argv[1:])
