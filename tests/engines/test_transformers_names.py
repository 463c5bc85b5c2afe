"""The names of transformers that esprobe leans on."""

import pytest
import torch

from esprobe.engines.transformers_names import cache_name, keep_rows
from esprobe.errors import EngineError


def test_both_names_of_keys_and_values_are_known() -> None:
    assert cache_name(["logits", "past_key_values"]) == "past_key_values"
    assert cache_name(["logits", "cache"]) == "cache"
    assert cache_name() in ("cache", "past_key_values")


def test_a_missing_name_is_told_with_the_version() -> None:
    with pytest.raises(EngineError, match=r"^transformers 5\.\S+ lacks CausalLMOutputWithPast\.cache, which esprobe "):
        cache_name(["logits"])
    with pytest.raises(EngineError, match=r"lacks list\.batch_select_indices, which esprobe needs to take"):
        keep_rows([], torch.tensor([0]))
