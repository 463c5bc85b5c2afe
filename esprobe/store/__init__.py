"""The only package that contains SQL: one SQLite file holds every rollout."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from esprobe.store.reader import RolloutStore

if TYPE_CHECKING:
    from esprobe.store.writer import NewRollout, RolloutWriter

__all__ = ["NewRollout", "RolloutStore", "RolloutWriter"]


def __getattr__(name: str) -> Any:
    """Import the writing classes on first use: reading commands start sooner, also on systems that cannot write."""
    if name in ("NewRollout", "RolloutWriter"):
        return getattr(import_module("esprobe.store.writer"), name)
    raise AttributeError(f"module 'esprobe.store' has no attribute {name!r}")
