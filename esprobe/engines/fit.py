"""Which tensors of a file make which tensors of a checkpoint: by names, fused or not, and shapes, exactly.

Owns the names: vLLM fuses query, key and value, and gate and up projections by stacking their rows, and pads the rows
of the vocabulary; torch's wrappers put prefixes before names. Nothing is guessed: every tensor of the checkpoint is
filled once and every tensor of the file is used once, or the file is refused.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from esprobe.engines.checkpoint import EMBEDDINGS, HEADS
from esprobe.errors import ModelError

Shape = tuple[int, ...]
_FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
_MODELS = ("model", "transformer")
_WRAPPERS = frozenset({"module", "base_model", "_forward_module", *_MODELS})
_COMPILED = "_orig_mod"
_PADDING = 64
"""vLLM pads a vocabulary to a multiple of it."""
# Rotary tables follow from the configuration; the others are scales of vLLM's KV cache.
_BUFFERS = ("inv_freq", "cos_sin_cache", "_k_scale", "_v_scale", "_q_scale", "_prob_scale")


@dataclass(frozen=True)
class Part:
    """Rows of one tensor of the file: ``rows`` from ``first`` on; None for all of it, which may have no rows."""

    source: str
    first: int = 0
    rows: int | None = None


@dataclass
class Fit:
    """How a file fills a checkpoint.

    Attributes:
        parts: by name of the checkpoint's tensor, what it is made of.
        buffers: names in the file that are no weights.
        padding: by name of the checkpoint's tensor, rows beyond the vocabulary that are dropped.
        heads: output heads in the file that the checkpoint does not store, by name of the tied embedding.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    buffers: list[str] = field(default_factory=list)
    padding: dict[str, int] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)


def fit(base: Mapping[str, Shape], tied: Mapping[str, str], source: Mapping[str, Shape], what: str) -> Fit:
    """Find out which tensors of a file make which tensors of a checkpoint.

    Args:
        base: shapes of the checkpoint's floating-point tensors.
        tied: its tied heads, whether it stores them or not, with their embeddings.
        source: shapes in the file.
        what: file and checkpoint in words, for the error: "es.pth does not fit --base tiny".

    Raises:
        ModelError: a tensor is missing, left over, there twice, or of another shape; all of them are counted.
    """
    found, problems = Fit(), _Problems()
    slots = _slots([name for name in base if not is_buffer(name)])
    heads = {head: embedding for head, embedding in tied.items() if head not in base}
    known = slots.keys() | heads.keys()
    for name, shape in source.items():
        place = resolve(name, known)
        if place is None:
            (found.buffers if is_buffer(name) else problems.left_over).append(name)
        elif place in heads:
            problems.doubles += [name] if heads[place] in found.heads else []
            found.heads[heads[place]] = name
        else:
            _take(found, problems, base, slots[place], name, shape)
    for head, embedding in tied.items():
        if head in base and head not in found.parts and embedding in found.parts:
            found.parts[head] = found.parts[embedding]
    problems.missing = [name for members in slots.values() for name in members if name not in found.parts]
    problems.missing = list(dict.fromkeys(name for name in problems.missing if name not in problems.misshaped_targets))
    if said := problems.said():
        raise ModelError(
            f"{what}: {said}; name the checkpoint that it was trained from with --base, and if that is right, the file "
            f"is damaged or only part of a model: copy or save it again"
        )
    return found


def resolve(name: str, known: Collection[str]) -> str | None:
    """Which of the ``known`` names a name means, with prefixes of wrappers taken off or one of a model put before."""
    pieces = [piece for piece in name.split(".") if piece != _COMPILED]
    for candidate in _candidates(pieces):
        if candidate in known:
            return candidate
    return None


def is_buffer(name: str) -> bool:
    """Whether a tensor is no weight: it follows from the configuration, or belongs to a cache."""
    return name.rpartition(".")[2] in _BUFFERS


def _candidates(pieces: list[str]) -> Iterator[str]:
    yield ".".join(pieces)
    dropped = list(pieces)
    while dropped and dropped[0] in _WRAPPERS:
        dropped = dropped[1:]
        yield ".".join(dropped)
    yield from (".".join([model, *pieces]) for model in _MODELS)


def _slots(names: list[str]) -> dict[str, list[str]]:
    """Names that a file may have, fused ones included, with the checkpoint's tensors that each of them holds."""
    slots = {name: [name] for name in names}
    for name in names:
        pieces = name.split(".")
        for fused, members in _FUSED.items():
            if len(pieces) < 2 or pieces[-2] != members[0]:
                continue
            held = [".".join([*pieces[:-2], member, pieces[-1]]) for member in members]
            if all(member in slots for member in held):
                slots.setdefault(".".join([*pieces[:-2], fused, pieces[-1]]), held)
    return slots


def _take(
    found: Fit, problems: "_Problems", base: Mapping[str, Shape], members: list[str], name: str, shape: Shape
) -> None:
    """Note what one tensor of the file fills."""
    if any(member in found.parts or member in problems.misshaped_targets for member in members):
        problems.doubles.append(name)
        return
    wanted = base[members[0]]
    if len(members) > 1:
        wanted = (sum(base[member][0] for member in members), *wanted[1:])
    extra = shape[0] - wanted[0] if shape and wanted else 0
    padded = len(members) == 1 and extra > 0 and shape[1:] == wanted[1:] and _is_vocabulary(members[0])
    if padded and shape[0] == math.ceil(wanted[0] / _PADDING) * _PADDING:
        found.parts[members[0]] = Part(name, 0, wanted[0])
        found.padding[members[0]] = extra
    elif shape != wanted:
        problems.misshaped.append(f"{name} is {_times(shape)}, the base's {_times(wanted)}")
        problems.misshaped_targets.update(members)
    elif len(members) == 1:
        found.parts[members[0]] = Part(name)
    else:
        first = 0
        for member in members:
            found.parts[member] = Part(name, first, base[member][0])
            first += base[member][0]


def _is_vocabulary(name: str) -> bool:
    return not {*name.split(".")}.isdisjoint(HEADS | EMBEDDINGS)


def _times(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"


class _Problems:
    """What does not fit, and a sentence about it."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.left_over: list[str] = []
        self.doubles: list[str] = []
        self.misshaped: list[str] = []
        self.misshaped_targets: set[str] = set()

    def said(self) -> str:
        kinds = {
            "of the base missing": self.missing,
            "left over": self.left_over,
            "there twice": self.doubles,
            "of another shape": self.misshaped,
        }
        return "; ".join(f"{len(some)} {kind} ({_first(some)})" for kind, some in kinds.items() if some)


def _first(some: list[str]) -> str:
    return ", ".join(some[:3]) + (", ..." if len(some) > 3 else "")
