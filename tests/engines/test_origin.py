"""What a checkpoint says it was made from, and checkpoints that say nothing or nonsense."""

from pathlib import Path

import pytest

from esprobe.engines.checkpoint import ORIGIN, find_checkpoint
from esprobe.engines.origin import origin
from esprobe.engines.save import save_perturbed
from esprobe.spec import MADE_FROM, Perturbation


def test_a_saved_model_says_what_it_was_made_from(checkpoint: Path, tmp_path: Path) -> None:
    model = find_checkpoint(str(checkpoint))
    save_perturbed(model, Perturbation(57, 0.005), "float32", tmp_path / "saved")
    said = origin(find_checkpoint(str(tmp_path / "saved")))
    assert said == {MADE_FROM: model.fingerprint, f"{MADE_FROM}_model": str(checkpoint)}


@pytest.mark.parametrize("text", [None, "", "nonsense", "[1]", "{}", '{"fingerprint": 1}', "[" * 99999, "\xff"])
def test_a_checkpoint_that_says_nothing_has_no_origin(checkpoint: Path, text: str | None) -> None:
    if text is not None:
        (checkpoint / ORIGIN).write_bytes(text.encode("latin-1"))
    assert origin(find_checkpoint(str(checkpoint))) == {}
