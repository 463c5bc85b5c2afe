"""Writing an ordinary checkpoint folder that is like another one but for its weights, all of it or nothing."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from esprobe.engines.checkpoint import INDEX, ORIGIN, Checkpoint
from esprobe.errors import ModelError
from esprobe.paths import kind_of


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write, which becomes ``out`` at the end of the block; it is removed if the block raises.

    Raises:
        ModelError: ``out`` is not empty, or cannot be written.
    """
    out = out.resolve()
    if (kind := kind_of(out)) != "nothing" and (kind != "folder" or any(out.iterdir())):
        raise ModelError(f"{str(out)!r} already exists and is not empty, and nothing is overwritten; name a new folder")
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        draft.mkdir(parents=True)
        yield draft
        os.replace(draft, out)
    except OSError as err:
        raise ModelError(
            f"the model cannot be written to {str(out)!r} ({err.strerror or err}); free space or name another folder"
        ) from err
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_checkpoint(
    checkpoint: Checkpoint,
    dtype: str,
    folder: Path,
    origin: Mapping[str, Any],
    change: Callable[[dict[str, torch.Tensor]], None],
) -> None:
    """Write a checkpoint whose tensors are changed, one file at a time.

    Equal tensors and companions give equal files, whatever ``origin`` is, except for the file that holds it.

    Args:
        checkpoint: the model whose files, names and companions the folder gets.
        dtype: the dtype of the floating-point tensors in it.
        folder: an empty folder.
        origin: what the model was made from, written to a file of its own that the fingerprint does not cover.
        change: called with the tensors of each file, the floating-point ones in ``dtype``; changes them in place.

    Raises:
        ModelError: the checkpoint holds values that are not finite.
    """
    _write_json(folder / ORIGIN, origin)
    _write_json(folder / "config.json", _served_as(checkpoint.config, dtype))
    total = 0
    for path in checkpoint.weights:
        tensors = _read(path, getattr(torch, dtype))
        change(tensors)
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        # One key at most: safetensors writes several in random order, which would change the fingerprint.
        save_file(tensors, folder / path.name, {"format": "pt"})
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


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
