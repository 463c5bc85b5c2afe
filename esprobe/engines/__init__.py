"""Engines by name, imported when they are used and not before."""

from importlib import import_module
from importlib.util import find_spec

from esprobe.engines.base import Engine, EngineOptions, ModelIdentity, StopCheck
from esprobe.errors import EngineError, UsageError

__all__ = [
    "ENGINES",
    "Engine",
    "EngineOptions",
    "ModelIdentity",
    "StopCheck",
    "check_options",
    "engine_class",
    "resolve",
]

ENGINES = {
    "vllm": ("esprobe.engines.vllm:VllmEngine", ("vllm",), "vllm"),
    "transformers": ("esprobe.engines.transformers:TransformersEngine", ("torch", "transformers", "safetensors"), "hf"),
    "scripted": ("esprobe.engines.scripted:ScriptedEngine", (), ""),
}
"""Name -> (where its class is, the packages it needs, the extra that brings them)."""


def resolve(name: str) -> str:
    """The engine that ``auto`` means on this machine; any other name is itself.

    Raises:
        UsageError: no engine is called so.
    """
    if name == "auto":
        return "vllm" if find_spec("vllm") is not None and _has_cuda() else "transformers"
    if name not in ENGINES:
        raise UsageError(
            f"no engine is called {name!r}, so nothing can be sampled; use --engine with one of: "
            f"auto, {', '.join(ENGINES)}"
        )
    return name


def check_options(name: str, options: EngineOptions) -> None:
    """Refuse what only vLLM has; options that change nothing but speed pass, so that one command does everywhere.

    Raises:
        UsageError: the engine called ``name`` would not do what ``options`` ask.
    """
    if name == "vllm":
        return
    size = options.tensor_parallel_size
    for given, option, instead in (
        (options.batch_invariant, "--batch-invariant", "completions would depend on their batch after all"),
        (size > 1, f"--tensor-parallel-size {size}", f"the model would not be spread over {size} devices"),
    ):
        if given:
            raise UsageError(
                f"{option} is vLLM's, and the {name} engine has none: {instead}; leave it out or use --engine vllm"
            )


def engine_class(name: str) -> type[Engine]:
    """The class of the engine called ``name``.

    Raises:
        EngineError: a package that it needs is not installed.
    """
    where, packages, extra = ENGINES[name]
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise EngineError(
            f"the {name} engine needs {', '.join(missing)}, which this environment lacks; "
            f"install in a checkout of esprobe with: pip install '.[{extra}]'"
        )
    module, _, attribute = where.partition(":")
    found: type[Engine] = getattr(import_module(module), attribute)
    return found


def _has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())
