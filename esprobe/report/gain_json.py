"""What training adds to the base as JSON: ``compare --format json`` of two models, and the report's same entry."""

from dataclasses import asdict
from typing import Any

from esprobe.records import Model
from esprobe.report.compare_json import difference_entry
from esprobe.report.gain_text import gain_sentence
from esprobe.report.passk_json import SCHEMA, dump
from esprobe.results.training_gain import TrainingGain
from esprobe.stats.crossing import Crossing


def as_json(gain: TrainingGain) -> str:
    """One document; no value is ever NaN."""
    return dump({"schema": SCHEMA} | gain_entry(gain))


def gain_entry(gain: TrainingGain) -> dict[str, Any]:
    """Sentence, figures and lists; completions are cut as in the text."""
    return {
        "base": _model(gain.roles.base),
        "trained": _model(gain.roles.trained),
        "sentence": gain_sentence(gain),
        "problems": gain.problems,
        "decoding": gain.decoding,
        "pass_1": difference_entry(gain.pass_1),
        "solved_greedily": gain.solved_greedily,
        "reaches": [
            {
                "condition": reach.condition,
                "decoding": reach.decoding,
                "samples": reach.samples,
                "reaching_k": _crossing(reach.point),
                "solved": reach.solved,
            }
            for reach in gain.reaches
        ],
        "coverage": [
            {
                "base": pair.base,
                "trained": pair.trained,
                "decoding": pair.decoding,
                "difference": difference_entry(pair.difference),
                "crossing_k": _crossing(pair.point),
            }
            for pair in gain.coverage
        ],
        "only_trained": asdict(gain.only_trained),
        "only_base": asdict(gain.only_base),
        "samples": list(gain.samples),
    }


def _crossing(point: Crossing | None) -> dict[str, Any] | None:
    """``ranges`` are the confidence set; null is an open end, and no range means no such k up to ``n``."""
    return None if point is None else asdict(point)


def _model(model: Model) -> dict[str, str]:
    return {"name": model.name, "path": model.path, "fingerprint": model.fingerprint}
