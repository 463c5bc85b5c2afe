"""Engines by name: the built-in ones, and those that other packages register under ``esprobe.engines``.

Light on purpose: neither an engine's module nor the packages it needs are imported before the engine is used.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from esprobe.engines.base import Engine, EngineOptions
from esprobe.errors import EngineError, UsageError

AUTO = "auto"
ENTRY_POINTS = "esprobe.engines"


@dataclass(frozen=True)
class EngineTraits:
    """What the rest of esprobe has to know about an engine before it is loaded.

    Attributes:
        has_weights: ``--model`` names a checkpoint, whose tensors can be perturbed, selected by ``--scope`` and
            examined.
        uses_gpu: runs on CUDA devices where there are any, so that each worker needs its own.
        detects_loops: can end a completion that repeats itself (``--stop-loops``).
        supports_tensor_parallel: can spread one model over several devices (``--tensor-parallel-size``).
        supports_batch_invariant: has kernels whose results do not depend on the batch (``--batch-invariant``).
        revision: counts changes of what it computes that can move the last bits of logits; in ``provenance`` as
            "revision" if it is not 1.
    """

    has_weights: bool = True
    uses_gpu: bool = True
    detects_loops: bool = False
    supports_tensor_parallel: bool = False
    supports_batch_invariant: bool = False
    revision: int = 1


@dataclass(frozen=True)
class EngineEntry:
    """One engine, as the registry knows it.

    Attributes:
        name: the value of ``--engine``; part of every condition drawn with it.
        location: ``module:Class`` of an implementation of ``esprobe.engines.base.Engine``.
        packages: packages that the module imports.
        extra: the extra of esprobe that brings them; empty for an engine of another package.
        traits: what it can do.
    """

    name: str
    location: str
    packages: tuple[str, ...] = ()
    extra: str = ""
    traits: EngineTraits = EngineTraits()


SCRIPTED = EngineEntry(
    name="scripted",
    location="esprobe.engines.scripted:ScriptedEngine",
    traits=EngineTraits(has_weights=False, uses_gpu=False),
)
TRANSFORMERS = EngineEntry(
    name="transformers",
    location="esprobe.engines.transformers:TransformersEngine",
    packages=("torch", "transformers", "safetensors"),
    extra="hf",
    traits=EngineTraits(revision=2),  # 2: each distinct prompt of a batch is computed once
)
VLLM = EngineEntry(
    name="vllm",
    location="esprobe.engines.vllm:VllmEngine",
    packages=("vllm",),
    extra="vllm",
    traits=EngineTraits(detects_loops=True, supports_tensor_parallel=True, supports_batch_invariant=True),
)
BUILT_IN = {entry.name: entry for entry in (VLLM, TRANSFORMERS, SCRIPTED)}


def find_engine(name: str) -> EngineEntry:
    """The entry of the engine called ``name``; other packages are searched only if it is not built in.

    Raises:
        UsageError: no engine has that name.
        EngineError: another package registers one, and its entry point cannot be used.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    registered = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in registered:
        raise UsageError(
            f"no engine is called {name!r}, so nothing can be sampled; use --engine with one of: "
            f"{', '.join([AUTO, *BUILT_IN, *sorted(registered.keys() - BUILT_IN.keys())])}"
        )
    return _loaded(registered[name])


def resolve(name: str) -> str:
    """The engine that ``auto`` means on this machine; any other name is itself.

    Raises:
        UsageError: no engine has that name.
    """
    if name == AUTO:
        return (VLLM if find_spec("vllm") is not None and _has_cuda() else TRANSFORMERS).name
    return find_engine(name).name


def check_options(name: str, options: EngineOptions) -> None:
    """Refuse options that the engine called ``name`` would ignore although they change results or memory.

    Options that only change speed pass, so that one command works with every engine. Nothing is checked for ``auto``:
    check again once it is resolved.

    Raises:
        UsageError: no engine has that name, or it does not support what ``options`` ask for.
    """
    if name == AUTO:
        return
    traits = find_engine(name).traits
    size = options.tensor_parallel_size
    if options.batch_invariant and not traits.supports_batch_invariant:
        raise UsageError(
            f"--batch-invariant is not supported by the {name} engine: completions would depend on their batch; leave "
            f"it out or use --engine {VLLM.name}"
        )
    if size > 1 and not traits.supports_tensor_parallel:
        raise UsageError(
            f"--tensor-parallel-size {size} is not supported by the {name} engine: the model would not be spread over "
            f"{size} devices; leave it out or use --engine {VLLM.name}"
        )


def engine_class(name: str) -> type[Engine]:
    """The class of the engine called ``name``, imported now.

    Raises:
        UsageError: no engine has that name.
        EngineError: a package that it needs is not installed.
    """
    entry = find_engine(name)
    missing = [package for package in entry.packages if find_spec(package) is None]
    if missing:
        install = f"in a checkout of esprobe with: pip install '.[{entry.extra}]'" if entry.extra else "it with pip"
        raise EngineError(
            f"the {name} engine needs {', '.join(missing)}, which is not installed in this environment; install "
            f"{install}"
        )
    module, _, attribute = entry.location.partition(":")
    found: type[Engine] = getattr(import_module(module), attribute)
    return found


def _loaded(point: EntryPoint) -> EngineEntry:
    try:
        entry = point.load()
    except (ImportError, AttributeError) as err:
        raise EngineError(
            f"the engine {point.name!r} is registered as {point.value}, which cannot be imported "
            f"({type(err).__name__}: {err}); reinstall or upgrade the package that brings it"
        ) from err
    if not isinstance(entry, EngineEntry) or entry.name != point.name:
        raise EngineError(
            f"the engine {point.name!r} is registered as {point.value}, which is not an EngineEntry of that name; see "
            f"'Adding an engine' in docs/engines.md"
        )
    return entry


def _has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())
