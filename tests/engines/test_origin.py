"""What a checkpoint says it was made from, and checkpoints that say nothing or nonsense."""

from pathlib import Path

import pytest

from esprobe.engines.checkpoint import ORIGIN, find_checkpoint
from esprobe.engines.convert import convert
from esprobe.engines.origin import origin
from esprobe.engines.save import save_perturbed
from esprobe.spec import MADE_FROM, Perturbation


def test_a_saved_model_says_what_it_was_made_from(checkpoint: Path, tmp_path: Path) -> None:
    model = find_checkpoint(str(checkpoint))
    save_perturbed(model, Perturbation(57, 0.005), "float32", tmp_path / "saved")
    said = origin(find_checkpoint(str(tmp_path / "saved")))
    assert said == {MADE_FROM: model.fingerprint, f"{MADE_FROM}_model": str(checkpoint)}


def test_a_model_is_not_made_from_itself(checkpoint: Path, tmp_path: Path) -> None:
    """A copy without a change has the fingerprint of what it was made from."""
    model = find_checkpoint(str(checkpoint))
    first, second = tmp_path / "first", tmp_path / "second"
    convert(model.weights[0], model, first)
    convert(first / "model.safetensors", find_checkpoint(str(first)), second)
    assert find_checkpoint(str(first)).fingerprint == find_checkpoint(str(second)).fingerprint
    assert origin(find_checkpoint(str(second))) == {}


@pytest.mark.parametrize("text", [None, "", "nonsense", "[1]", "{}", '{"fingerprint": 1}', "[" * 99999, "\xff"])
def test_a_checkpoint_that_says_nothing_has_no_origin(checkpoint: Path, text: str | None) -> None:
    if text is not None:
        (checkpoint / ORIGIN).write_bytes(text.encode("latin-1"))
    assert origin(find_checkpoint(str(checkpoint))) == {}
