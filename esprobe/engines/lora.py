"""Merging a LoRA adapter, in the format of peft, into the weights that it was trained on.

W + scale * B @ A, with scale alpha / r, or alpha / sqrt(r) for rsLoRA (Hu et al. 2021, arXiv 2106.09685; Kalajdzievski
2023, arXiv 2312.03732), in float32 and rounded once. What an adapter can hold besides is refused by name, not left out.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from esprobe.engines.checkpoint import ADAPTER, Checkpoint
from esprobe.engines.fit import resolve
from esprobe.engines.tensor_files import Stored, read_tensors
from esprobe.errors import ModelError
from esprobe.paths import kind_of

_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_KEY = re.compile(r"(?P<module>.+)\.(?P<factor>lora_(?:embedding_)?[AB])(?:\.default)?(?:\.weight)?")
_USED = {"peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "fan_in_fan_out"}
# How the adapter was trained and found its modules, which its tensors and their names already show.
_WITHOUT_EFFECT = {
    *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"),
    *("target_modules", "exclude_modules", "lora_dropout", "modules_to_save", "layers_to_transform", "layers_pattern"),
    *("megatron_config", "megatron_core", "eva_config", "qalora_group_size", "ensure_weight_tying"),
    "target_modules_to_tie",
}
_INITS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Other ways to initialise change the base, so that B @ A belongs to other weights than the base's."""


@dataclass
class _Change:
    """What an adapter does to one tensor: a tensor in its place, factors, or both."""

    whole: Stored | None = None
    factors: dict[str, Stored] = field(default_factory=dict)
    module: str = ""


@dataclass(frozen=True)
class Adapter:
    """An adapter that fits a base.

    Attributes:
        files: what it was read from.
        merge: from the name of one of the base's tensors and its values to the merged values.
        trained_on: the model that it names as its base.
    """

    files: list[Path]
    merge: Callable[[str, torch.Tensor], torch.Tensor]
    trained_on: str | None


def is_adapter(path: Path) -> bool:
    """Whether ``path`` is the folder of an adapter."""
    return kind_of(path) == "folder" and (path / ADAPTER).is_file()


def read_adapter(folder: Path, base: Checkpoint, dtype: str) -> Adapter:
    """Read an adapter, and find out what it changes.

    Args:
        folder: the adapter's.
        base: the checkpoint that it was trained on.
        dtype: of the merged weights.

    Raises:
        ModelError: the adapter is damaged, has something that is not merged here, or does not fit the base exactly.
    """
    settings = _settings(folder / ADAPTER)
    files = [folder / name for name in _FILES if (folder / name).is_file()][:1]
    if not files:
        raise ModelError(
            f"the adapter {str(folder)!r} has no {' or '.join(_FILES)}, so it is incomplete; copy it again"
        )
    tied = base.tied_heads(dtype)
    changes = _changes(read_tensors(tuple(files)), base, {*base.tensors, *tied}, folder)
    if touched := sorted(changes.keys() & {*tied, *tied.values()}):
        raise ModelError(
            f"the adapter {str(folder)!r} changes {touched[0]}, and the base {base.name!r} ties its output head to its "
            f"embedding: the adapter changes one of them, merging would change both; untie the base "
            f"(tie_word_embeddings false, both tensors stored) and name that with --base"
        )
    deltas = {name: _delta(name, change, base, settings) for name, change in changes.items() if change.factors}

    def merge(name: str, old: torch.Tensor) -> torch.Tensor:
        change = changes.get(name)
        if change is None:
            return old
        start = old if change.whole is None else change.whole.read()
        return (start.float() + deltas[name]() if name in deltas else start).to(old.dtype, copy=True).contiguous()

    trained_on = settings.get("base_model_name_or_path")
    return Adapter([folder / ADAPTER, *files], merge, trained_on if isinstance(trained_on, str) else None)


def _settings(path: Path) -> Mapping[str, Any]:
    """The adapter's configuration, if all that it says can be merged here.

    Raises:
        ModelError: it cannot be read, or something in it cannot be merged.
    """
    try:
        settings = json.loads(path.read_bytes())
    except ValueError as err:
        raise ModelError(
            f"{path} is not valid JSON ({err}), so the adapter's scale is not known; copy it again"
        ) from err
    if not isinstance(settings, dict):
        raise ModelError(f"{path} holds a {type(settings).__name__} where an object must be; copy the adapter again")
    refused = {key: value for key, value in settings.items() if value and key not in _USED | _WITHOUT_EFFECT}
    if refused.get("bias") == "none":
        del refused["bias"]
    if settings.get("init_lora_weights", True) in _INITS:
        refused.pop("init_lora_weights", None)
    if settings.get("peft_type") != "LORA":
        refused = {"peft_type": settings.get("peft_type")}
    if refused:
        key, value = next(iter(refused.items()))
        raise ModelError(
            f"{path} says {key} {json.dumps(value)}, which esprobe convert does not merge (plain LoRA only), and "
            f"leaving it out would give another model; merge it with peft (merge_and_unload) and name "
            f"the folder that it saves"
        )
    _check_types(path, settings)
    return settings


def _check_types(path: Path, settings: Mapping[str, Any]) -> None:
    numbers = [("r", settings.get("r")), ("lora_alpha", settings.get("lora_alpha"))]
    for key in ("rank_pattern", "alpha_pattern"):
        pattern = settings.get(key) or {}
        numbers += list(pattern.items()) if isinstance(pattern, dict) else [(key, pattern)]
    for key, value in numbers:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ModelError(f"{path} says {key} {json.dumps(value)}, where a number must be; copy the adapter again")


def _changes(tensors: Mapping[str, Stored], base: Checkpoint, known: set[str], folder: Path) -> dict[str, _Change]:
    """What the adapter does to each of the base's tensors, of the names ``known``.

    Raises:
        ModelError: one of the adapter's tensors belongs to none of them, or one of them is changed twice.
    """
    changes: dict[str, _Change] = {}
    strange = []
    for key, stored in tensors.items():
        factor = _KEY.fullmatch(key)
        module = factor["module"] if factor else ""
        name = resolve(f"{module}.weight" if factor else key.replace(".base_layer.", "."), known)
        if name is None:
            strange.append(key)
            continue
        change = changes.setdefault(name, _Change())
        if (factor["factor"] in change.factors) if factor else (change.whole is not None):
            raise ModelError(
                f"{key} of the adapter {str(folder)!r} changes {name} a second time; copy the adapter again"
            )
        if factor:
            change.factors[factor["factor"]], change.module = stored, module
        elif name in base.tensors and stored.shape != base.tensors[name]:
            raise ModelError(
                f"{key} of the adapter {str(folder)!r} has shape {stored.shape}, {name} of --base {base.name} has "
                f"{base.tensors[name]}; name the model that the adapter was trained on with --base"
            )
        else:
            change.whole = stored
    if strange:
        raise ModelError(
            f"{len(strange)} of {len(tensors)} tensors of the adapter {str(folder)!r} belong to no tensor of --base "
            f"{base.name} (first: {strange[0]}), so part of it would be lost; name the model that it was trained on "
            f"with --base"
        )
    return changes


def _delta(name: str, change: _Change, base: Checkpoint, settings: Mapping[str, Any]) -> Callable[[], torch.Tensor]:
    """What computes scale * B @ A of one tensor, in its shape and float32.

    Raises:
        ModelError: a factor is missing, or has another shape than rank and tensor ask for.
    """
    embedding = "lora_embedding_A" in change.factors
    first, second = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A", "lora_B")
    shape, module = base.tensors[name], change.module.removeprefix("base_model.model.")
    rank = _of_pattern(settings, "rank_pattern", module, settings["r"])
    alpha = _of_pattern(settings, "alpha_pattern", module, settings["lora_alpha"])
    turned = embedding or bool(settings.get("fan_in_fan_out"))
    wanted = {first: (rank, shape[0 if turned else -1]), second: (shape[-1 if turned else 0], rank)}
    found = {factor: stored.shape for factor, stored in change.factors.items()}
    if len(shape) != 2 or found != wanted or rank < 1:
        raise ModelError(
            f"the adapter's factors of {name} have shapes {found}, and rank {rank} with the base's {shape} needs "
            f"{wanted}; name the model that it was trained on with --base, or copy the adapter again"
        )
    scale = alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    factors = change.factors

    def delta() -> torch.Tensor:
        product = (factors[second].read().float() @ factors[first].read().float()) * scale
        return product.T if turned else product

    return delta


def _of_pattern(settings: Mapping[str, Any], key: str, module: str, default: Any) -> Any:
    """The value of the first pattern that is the end of a module's name, as peft chooses it; else the default."""
    for pattern, value in (settings.get(key) or {}).items():
        try:
            matches = re.match(rf"(.*\.)?({pattern})$", module)
        except re.error as err:
            raise ModelError(
                f"{key} of the adapter has {pattern!r}, which is no regular expression ({err}); copy the adapter again"
            ) from err
        if matches:
            return value
    return default
