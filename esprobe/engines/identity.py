"""Identifying a model for the torch engines, without loading it."""

from esprobe.engines.base import ModelIdentity
from esprobe.engines.checkpoint import find_checkpoint
from esprobe.errors import UsageError

DTYPES = ("float16", "bfloat16", "float32")


def identify_checkpoint(model: str, dtype: str) -> ModelIdentity:
    """Find a checkpoint; dtype "auto" is float16 on CUDA and float32 on a CPU.

    Raises:
        ModelError: the model cannot be found.
        UsageError: the dtype is unknown.
    """
    if dtype == "auto":
        import torch

        dtype = "float16" if torch.cuda.is_available() else "float32"
    if dtype not in DTYPES:
        raise UsageError(f"no dtype is called {dtype!r}; use --dtype auto, {', '.join(DTYPES)}")
    return ModelIdentity(model, find_checkpoint(model).fingerprint, dtype)
