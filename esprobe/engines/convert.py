"""Making an ordinary checkpoint of another tool's weights and the checkpoint that they were trained from.

Owns what is written: every tensor of the base replaced by the file's, in the file's dtype, beside the base's
configuration and tokenizer. Nothing is written unless all of it fits and is like the base.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from esprobe.engines.checkpoint import Checkpoint
from esprobe.engines.checkpoint_folder import whole_folder, write_checkpoint
from esprobe.engines.checksums import file_sha256
from esprobe.engines.fit import Fit, Part, fit, is_buffer
from esprobe.engines.identity import DTYPES
from esprobe.engines.likeness import Likeness, likeness, unlike
from esprobe.engines.lora import is_adapter, read_adapter
from esprobe.engines.tensor_files import Stored, read_tensors, tensor_files
from esprobe.errors import ModelError


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        dtype: of all floating-point tensors.
        tensors: how many there are.
        sha256: of each file that they came from, by its path.
        furthest: the matrix that is furthest from the base, relative to its size.
        changed: how many tensors differ from the base.
        left_out: names in the file that are no weights.
        padding: rows dropped beyond the vocabulary, by tensor.
        unlike: what ``force`` let pass.
        trained_on: the model that an adapter names as its base.
    """

    dtype: str
    tensors: int
    sha256: Mapping[str, str]
    furthest: Likeness
    changed: int
    left_out: list[str] = field(default_factory=list)
    padding: Mapping[str, int] = field(default_factory=dict)
    unlike: list[str] = field(default_factory=list)
    trained_on: str | None = None


def convert(source: Path, base: Checkpoint, out: Path, *, force: bool = False) -> Converted:
    """Write the model whose weights are in ``source`` to the folder ``out``, all of it or nothing.

    Args:
        source: a file of torch.save, a safetensors file, or a folder of either, with the checkpoint's names or vLLM's;
            or the folder of a LoRA adapter of peft's, which is merged in the base's dtype.
        base: the checkpoint that it was trained from: its names, shapes, configuration and tokenizer are the target.
        out: a folder that does not exist, or is empty.
        force: write weights that are not like the base's.

    Raises:
        ModelError: the source is damaged, does not fit the base exactly, holds values that are not finite, or is not
            like the base; or ``out`` is not empty or cannot be written.
    """
    if is_adapter(source):
        return _merge(source, base, out, force=force)
    files = tensor_files(source)
    tensors = read_tensors(files)
    if adapter := next((name for name in tensors if "lora_" in name), None):
        raise ModelError(
            f"{source} holds a LoRA adapter ({adapter}), whose scale is in its adapter_config.json; name the "
            f"adapter's folder instead, with both files"
        )
    dtype = common_dtype(tensors, source)
    shapes = {name: stored.shape for name, stored in tensors.items()}
    fitted = fit(base.tensors, base.tied_heads(dtype), shapes, f"{source} does not fit --base {base.name}")
    _check_heads(fitted, tensors, source)

    def filled(name: str, old: torch.Tensor) -> torch.Tensor:
        new = _rows(tensors, fitted.parts[name]) if name in fitted.parts else old
        return new.to(old.dtype, copy=True).contiguous()

    made = _write(source, files, base, dtype, out, filled, force=force)
    return replace(made, left_out=fitted.buffers, padding=fitted.padding)


def _merge(source: Path, base: Checkpoint, out: Path, *, force: bool) -> Converted:
    """As ``convert``, of an adapter's folder."""
    dtype = common_dtype(read_tensors(base.weights), base.folder)
    adapter = read_adapter(source, base, dtype)
    made = _write(source, adapter.files, base, dtype, out, adapter.merge, force=force)
    return replace(made, trained_on=adapter.trained_on)


def _write(
    source: Path,
    files: Sequence[Path],
    base: Checkpoint,
    dtype: str,
    out: Path,
    filled: Callable[[str, torch.Tensor], torch.Tensor],
    *,
    force: bool,
) -> Converted:
    """Write a checkpoint like ``base`` to ``out``, whose weights are what ``filled`` makes of a name and the base's.

    Raises:
        ModelError: a value is not finite or, without ``force``, not like the base's; or ``out`` cannot be written.
    """
    with whole_folder(out) as folder:
        sha256 = {str(path): file_sha256(path) for path in files}
        compared = _fill(base, dtype, folder, sha256, filled)
        passed = _check_likeness(compared, source, base, force=force)
    matrices = [one for one in compared if one.judged] or compared  # of a bias near zero it says nothing
    furthest = max(matrices, key=lambda one: one.relative)
    return Converted(dtype, len(compared), sha256, furthest, sum(one.step > 0 for one in compared), unlike=passed)


def common_dtype(tensors: Mapping[str, Stored], source: Path) -> str:
    """The narrowest dtype that holds all weights exactly: "float16", "bfloat16" or "float32".

    Raises:
        ModelError: there is none.
    """
    dtypes = {stored.dtype: name for name, stored in tensors.items() if not is_buffer(name)}
    if other := sorted(dtypes.keys() - set(DTYPES)):
        raise ModelError(
            f"{dtypes[other[0]]} of {source} is in {other[0]}, which is not {', '.join(DTYPES)}; save it again in one "
            f"of them, dequantised if it is quantised"
        )
    return next(iter(dtypes)) if len(dtypes) == 1 else "float32"


def _fill(
    base: Checkpoint,
    dtype: str,
    folder: Path,
    sha256: Mapping[str, str],
    filled: Callable[[str, torch.Tensor], torch.Tensor],
) -> list[Likeness]:
    """Write the checkpoint to an empty folder; every floating-point tensor beside the base's."""
    compared: list[Likeness] = []

    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name, tensor in tensors.items() if tensor.is_floating_point()]:
            new = filled(name, tensors[name])
            if not bool(torch.isfinite(new).all()):
                raise ModelError(
                    f"{name} would hold values that are not finite in {dtype}, so the model's output would be "
                    f"meaningless; use an earlier checkpoint of the training"
                )
            compared.append(likeness(name, tensors[name], new))
            tensors[name] = new

    origin: dict[str, Any] = {"model": base.name, "fingerprint": base.fingerprint, "dtype": dtype}
    write_checkpoint(base, dtype, folder, origin | {"converted": dict(sha256)}, change)
    return compared


def _check_likeness(compared: list[Likeness], source: Path, base: Checkpoint, *, force: bool) -> list[str]:
    """What is not like the base, if ``force`` lets it pass.

    Raises:
        ModelError: something is not, and ``force`` is false.
    """
    said = unlike(compared)
    if said and not force:
        raise ModelError(
            f"{source} fits --base {base.name} in names and shapes but not in values: {'; '.join(said[:3])}"
            f"{f'; and {len(said) - 3} more' if len(said) > 3 else ''}. Training moves weights little, so these are "
            f"transposed, mixed up or another model's; name the checkpoint that it was trained from with --base, or if "
            f"it is that one, repeat with --force"
        )
    return said


def _check_heads(fitted: Fit, tensors: Mapping[str, Stored], source: Path) -> None:
    """A head that the base does not store has to be the embedding."""
    for embedding, head in fitted.heads.items():
        if embedding not in fitted.parts:
            continue
        part = fitted.parts[embedding]
        if not torch.equal(_rows(tensors, part), _rows(tensors, Part(head, 0, part.rows))):
            raise ModelError(
                f"{head} of {source} differs from {part.source}, but the base ties its output head to the embedding "
                f"and stores no head, so one of them would be lost; name the checkpoint that it was trained from with "
                f"--base"
            )


def _rows(tensors: Mapping[str, Stored], part: Part) -> torch.Tensor:
    whole = tensors[part.source].read()
    return whole if part.rows is None else whole[part.first : part.first + part.rows]
