"""Writing a perturbed model as an ordinary checkpoint folder, without loading an engine.

Owns the folder: weights perturbed with noise v1 by checkpoint name, in the served dtype, and the other files that
decide the model's output. Loading it unperturbed gives, bit for bit, the weights of an engine under that perturbation.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from esprobe.engines.checkpoint import INDEX, Checkpoint
from esprobe.engines.slices import WeightSlice
from esprobe.engines.weights import PristineWeights
from esprobe.errors import ModelError, UsageError
from esprobe.paths import kind_of
from esprobe.spec import Perturbation


def save_perturbed(checkpoint: Checkpoint, perturbation: Perturbation, dtype: str, out: Path) -> int:
    """Write the model that ``perturbation`` names to the folder ``out``, all of it or nothing.

    Args:
        checkpoint: the unperturbed model.
        perturbation: names the model.
        dtype: the dtype that it is served in: "float16", "bfloat16" or "float32".
        out: a folder that does not exist, or is empty.

    Returns:
        Scalars perturbed, tied copies not counted.

    Raises:
        ModelError: ``out`` is not empty or cannot be written, or the checkpoint holds values that are not finite.
        UsageError: the scope matches no tensor.
    """
    out = out.resolve()
    if (kind := kind_of(out)) != "nothing" and (kind != "folder" or any(out.iterdir())):
        raise ModelError(f"{str(out)!r} already exists and is not empty, and nothing is overwritten; name a new folder")
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        draft.mkdir(parents=True)
        touched = _write(checkpoint, perturbation, dtype, draft)
        os.replace(draft, out)
    except OSError as err:
        raise ModelError(
            f"the model cannot be written to {str(out)!r} ({err.strerror or err}); free space or name another folder"
        ) from err
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return touched


def _write(checkpoint: Checkpoint, perturbation: Perturbation, dtype: str, folder: Path) -> int:
    sources = {name: name for name in checkpoint.tensors} | dict(checkpoint.tied_copies(dtype))
    chosen = {name for name, source in sources.items() if re.search(perturbation.scope or "", source)}
    if not chosen:
        raise UsageError(
            f"--scope {perturbation.scope!r} matches none of the {len(sources)} tensors, so nothing would be "
            f"perturbed; names look like {min(sources)}"
        )
    whole = replace(perturbation, scope=None)  # the tensors are selected above, by the names of their sources
    metadata = {"format": "pt", "esprobe": _origin(checkpoint, perturbation, dtype)}
    _write_json(folder / "config.json", _served_as(checkpoint.config, dtype))
    touched = total = 0
    for path in checkpoint.weights:
        tensors = _read(path, getattr(torch, dtype))
        noisy = [name for name in tensors if name in chosen]
        slices = [WeightSlice(sources[name], tensors[name].numel(), 0, tensors[name].view(-1)) for name in noisy]
        PristineWeights(slices).perturb(whole)
        touched += sum(tensors[name].numel() for name in noisy if sources[name] == name)
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        save_file(tensors, folder / path.name, metadata)
        shutil.copymode(
            folder / "config.json", folder / path.name
        )  # safetensors writes files that only their owner may read
    for path in checkpoint.companions():
        if path.name not in ("config.json", INDEX):
            shutil.copyfile(path, folder / path.name)
    if (checkpoint.folder / INDEX).is_file():
        index = json.loads((checkpoint.folder / INDEX).read_bytes())
        index["metadata"] = {**(index.get("metadata") or {}), "total_size": total}
        _write_json(folder / INDEX, index)
    return touched


def _read(path: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All tensors of one file, the floating-point ones in the served dtype, each in memory of its own."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    served = {
        name: tensor.to(dtype, copy=True).contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    for name, tensor in served.items():
        if tensor.is_floating_point() and not (tensor.numel() and bool(torch.isfinite(tensor).all())):
            what = "holds values that are not finite" if tensor.numel() else "is empty"
            raise ModelError(
                f"{name} of {path} {what} in {str(dtype).removeprefix('torch.')}, so its output would be "
                f"meaningless; fetch or save the checkpoint again, or use a --dtype of larger range"
            )
    return served


def _served_as(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The configuration, with the dtype that the weights now have."""
    parts = {key: _served_as(value, dtype) if isinstance(value, dict) else value for key, value in config.items()}
    named = {key: dtype for key in ("dtype", "torch_dtype") if key in config}
    return parts | (named or ({"dtype": dtype} if "architectures" in config else {}))


def _origin(checkpoint: Checkpoint, perturbation: Perturbation, dtype: str) -> str:
    model = {"model": checkpoint.name, "fingerprint": checkpoint.fingerprint, "dtype": dtype}
    return json.dumps(model | asdict(perturbation))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
