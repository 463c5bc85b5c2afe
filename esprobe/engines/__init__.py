"""Engines by name, imported when they are used and not before."""

from esprobe.engines.base import Engine, EngineOptions, Lineage, ModelIdentity, StopCheck
from esprobe.engines.lineage import identify, load
from esprobe.engines.registry import (
    TRANSFORMERS,
    EngineEntry,
    EngineTraits,
    check_options,
    engine_class,
    find_engine,
    resolve,
)

__all__ = [
    "TRANSFORMERS",
    "Engine",
    "EngineEntry",
    "EngineOptions",
    "EngineTraits",
    "Lineage",
    "ModelIdentity",
    "StopCheck",
    "check_options",
    "engine_class",
    "find_engine",
    "identify",
    "load",
    "resolve",
]
