"""Prompts of a batch: each distinct one is computed once, and the next token is that of the prompt alone."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from esprobe.engines.prefill import prefill  # noqa: E402 - needs torch
from esprobe.engines.transformers_names import cache_name  # noqa: E402

TINY = Path(__file__).parents[2] / "esprobe" / "bundled" / "tiny"
PAD = 0


@pytest.fixture(scope="module")
def model() -> "transformers.PreTrainedModel":
    return transformers.AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32).eval()


def computed(model: "transformers.PreTrainedModel", prompts: list[list[int]]) -> tuple["torch.Tensor", list[int]]:
    """Logits of each row's next token, and how many (rows x columns) were computed."""
    shapes: list[int] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda _, given, __: shapes.append(given[0].numel()))
    begun = prefill(model, prompts, PAD, cache_name())
    hook.remove()
    return begun.logits, shapes


def alone(model: "transformers.PreTrainedModel", prompt: list[int]) -> "torch.Tensor":
    with torch.inference_mode():
        return model(input_ids=torch.tensor([prompt])).logits[0, -1]


BEGINNING = [5, 9, 14, 30, 7]
BATCHES = {
    "one": ([[5, 6, 7]], [3]),
    "one token each": ([[5], [6], [5]], [2]),
    "one token and more": ([[5], [6, 7, 8]], [6]),
    "nothing shared": ([[5, 6, 7], [8, 9, 10, 11, 12]], [10]),
    "one prompt sixteen times": ([[*BEGINNING, 6]] * 16, [6]),
    "two prompts of one length": ([[*BEGINNING, 1, 2], [*BEGINNING, 3, 4]] * 4, [5, 4]),
    "prompts of three lengths": ([[*BEGINNING, 1], [*BEGINNING, 3, 4, 5, 6], [*BEGINNING, 8, 9]] * 2, [5, 12]),
    "one begins another": ([BEGINNING, [*BEGINNING, 3, 4]], [4, 6]),
}


@pytest.mark.parametrize("name", BATCHES)
def test_rows_are_computed_as_if_alone(model: "transformers.PreTrainedModel", name: str) -> None:
    prompts, expected = BATCHES[name]
    logits, shapes = computed(model, prompts)
    assert shapes == expected
    for row, prompt in zip(logits, prompts, strict=True):
        torch.testing.assert_close(row, alone(model, prompt), atol=2e-4, rtol=2e-4)


def test_where_attention_reaches_back_a_window_of_columns_padding_comes_first() -> None:
    config = transformers.MistralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=6,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.MistralForCausalLM(config).eval()
    prompts = [[*BEGINNING, 1], [*BEGINNING, 3, 4, 5, 6, 11, 12, 13]]
    begun = prefill(model, prompts, PAD, cache_name())
    assert begun.mask.tolist() == [[0] * 6 + [1] * 6, [1] * 12]
    logits, _ = computed(model, prompts)
    for row, prompt in zip(logits, prompts, strict=True):
        torch.testing.assert_close(row, alone(model, prompt), atol=2e-4, rtol=2e-4)
