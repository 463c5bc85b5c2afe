"""Run in a process of its own (vLLM keeps global state): save a model as the published ES code does, by vLLM's names.

python -m tests.engines.vllm_dump FOLDER DTYPE FILE.pth
"""

import sys

import torch

from esprobe.engines import EngineOptions
from esprobe.engines.vllm import VllmEngine


def main(folder: str, dtype: str, file: str) -> None:
    engine = VllmEngine.load(VllmEngine.identify(folder, dtype), EngineOptions(max_num_seqs=8))
    model = engine._llm.llm_engine.model_executor.driver_worker.worker.model_runner.model
    torch.save({name: tensor.detach().cpu() for name, tensor in model.named_parameters()}, file)
    buffers = sorted(name for name, _ in model.named_buffers())
    print("buffers:", *buffers[:3])
    print("state_dict:", *[name for name in model.state_dict() if name not in dict(model.named_parameters())][:5])


if __name__ == "__main__":
    main(*sys.argv[1:])
