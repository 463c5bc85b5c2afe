"""Unique labels for the conditions of one table."""

from collections import Counter
from collections.abc import Mapping

from esprobe.spec import Condition

DISTINGUISHING = (
    "model_fingerprint", "data_digest", "prompt", "prompt_digest", "dtype", "engine", "max_tokens", "stop_loops",
    "stop", "top_p", "top_k", "noise", "scope", "temperature", "sigma",
)  # fmt: skip
"""Fields that distinguish conditions with the same label, the most telling first."""


def distinct_labels(conditions: Mapping[int, Condition]) -> dict[int, str]:
    """A unique label for each condition id.

    The model is named if there are several; other fields are named only for conditions that would share a label.
    """
    several = len({condition.model for condition in conditions.values()}) > 1
    plain = {i: _label(condition, several) for i, condition in conditions.items()}
    shared = Counter(plain.values())
    labels = dict(plain)
    for label in (label for label, uses in shared.items() if uses > 1):
        group = {i: condition for i, condition in conditions.items() if plain[i] == label}
        differing = [
            key for key in DISTINGUISHING if len({getattr(condition, key) for condition in group.values()}) > 1
        ]
        for i, condition in group.items():
            if differing:
                labels[i] = f"{label} ({', '.join(_short(key, condition) for key in differing)})"
    uses = Counter(labels.values())
    return {i: label if uses[label] == 1 else f"{label} #{i}" for i, label in labels.items()}


def _label(condition: Condition, name_model: bool) -> str:
    return f"{condition.label}, {condition.model}" if name_model else condition.label


def _short(key: str, condition: Condition) -> str:
    value = getattr(condition, key)
    if value is None:
        return f"no {key}"
    return f"{key}={value[:12] if key.endswith(('digest', 'fingerprint')) else value}"
