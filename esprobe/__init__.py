"""esprobe: is the gain made by training, or was it already there, within reach of mere sampling?

Public names are resolved on first use, so that ``import esprobe`` and ``esprobe --help`` stay free of numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"
__all__ = ["__version__", "pass_at_k", "pass_at_k_curve"]

if TYPE_CHECKING:
    from esprobe.stats.passk import pass_at_k, pass_at_k_curve


_ROOMS = ("noise", "store", "tasks")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"esprobe.{name}")
    if name in ("pass_at_k", "pass_at_k_curve"):
        from esprobe.stats import passk

        return getattr(passk, name)
    raise AttributeError(f"module 'esprobe' has no attribute {name!r}")
