"""Training against selection in the report's JSON."""

from dataclasses import asdict
from typing import Any

from esprobe.report.training_selection_text import notes, sentences
from esprobe.results.training_selection import TrainingSelection


def training_selection_entry(made: TrainingSelection) -> dict[str, Any]:
    """All figures of the runs of one recipe, and the sentences made of them."""
    return asdict(made) | {"sentences": sentences(made), "notes": list(notes(made))}
