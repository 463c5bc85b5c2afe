"""Every name of transformers that it does not promise to keep, and the only file that uses one.

Supported is what the extra ``hf`` allows. A name that is missing ends a start with one line.
"""

from collections.abc import Sequence
from typing import Any

import transformers
from transformers.modeling_outputs import CausalLMOutputWithPast

from esprobe.errors import EngineError

_CACHE_NAMES = ("cache", "past_key_values")
"""What keys and values are called, as an argument and in an output: transformers 5.24 renamed them."""


def cache_name(fields: Sequence[str] | None = None) -> str:
    """What the installed transformers calls keys and values, as an argument and in an output.

    Args:
        fields: names of the fields of its outputs; by default, asked of transformers.

    Raises:
        EngineError: it calls them something else.
    """
    names = tuple(CausalLMOutputWithPast.__dataclass_fields__) if fields is None else fields
    for name in _CACHE_NAMES:
        if name in names:
            return name
    raise EngineError(
        f"transformers {transformers.__version__} lacks CausalLMOutputWithPast.{_CACHE_NAMES[0]}, which esprobe needs "
        f"to decode a batch; install a version from 5.4 to 5.24"
    )


def attention_of(model: Any) -> str | None:
    """The kind of attention that a model computes with; None if it does not say."""
    found: str | None = getattr(model.config, "_attn_implementation", None)
    return found


def keep_rows(cache: Any, rows: Any) -> None:
    """Keep only these rows (indices) of the keys and values of a batch.

    Raises:
        EngineError: the installed transformers cannot.
    """
    if not hasattr(cache, "batch_select_indices"):
        raise EngineError(
            f"transformers {transformers.__version__} lacks {type(cache).__name__}.batch_select_indices, which esprobe "
            f"needs to take completions that have ended out of their batch; install a version from 5.4 to 5.24"
        )
    cache.batch_select_indices(rows)
