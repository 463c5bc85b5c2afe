"""How tables name conditions and models, and which of them a typed name means.

A label is ``PLAIN, TASK, MODEL (KEY=VALUE, ...)``: what was sampled, then what tells it from the others that are shown
with it. What is the same for all is left out.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from esprobe.spec import Condition

DISTINGUISHING = (
    "model_fingerprint", "data_digest", "prompt", "prompt_digest", "dtype", "engine", "max_tokens", "stop_loops",
    "stop", "top_p", "top_k", "noise", "scope", "temperature", "sigma",
)  # fmt: skip
"""Fields that distinguish conditions with the same label, the most telling first."""

LONGEST_NAME = 32
"""Characters of a model's name in labels; the middle of a longer one is left out."""

FEWEST_DIGITS = 8
"""Digits of a fingerprint that name a model."""

_DIGITS = 12


def distinct_labels(conditions: Mapping[int, Condition], names: Mapping[str, str] | None = None) -> dict[int, str]:
    """A unique label for each condition id.

    Task and model are named where there are several. Imported rollouts keep the label that they were given, which is
    unique in a database. Other fields are named only for conditions that would share a label.

    Args:
        conditions: those that are shown together, by id.
        names: names given to models, by fingerprint.
    """
    models = shown_models(conditions.values(), names)
    several_tasks = len({condition.task for condition in conditions.values()}) > 1
    several_models = len(set(models.values())) > 1
    plain: dict[int, str] = {}
    for i, condition in conditions.items():
        parts = [condition.label]
        if condition.source is None:
            parts += [condition.task] if several_tasks else []
            parts += [models[condition.model_fingerprint]] if several_models else []
        plain[i] = ", ".join(parts)
    labels = dict(plain)
    for label in (label for label, uses in Counter(plain.values()).items() if uses > 1):
        group = {i: condition for i, condition in conditions.items() if plain[i] == label}
        differing = [
            key for key in DISTINGUISHING if len({getattr(condition, key) for condition in group.values()}) > 1
        ]
        for i, condition in group.items():
            if differing:
                labels[i] = f"{label} ({', '.join(_short(key, condition) for key in differing)})"
    uses = Counter(labels.values())
    return {i: label if uses[label] == 1 else f"{label} #{i}" for i, label in labels.items()}


def shown_models(conditions: Collection[Condition], names: Mapping[str, str] | None = None) -> dict[str, str]:
    """How labels call each model, by fingerprint: the name that it was given, else the telling part of its path."""
    paths = {c.model_fingerprint: c.model for c in conditions}
    given = {fingerprint: name for fingerprint, name in (names or {}).items() if fingerprint in paths}
    short = short_names(list(dict.fromkeys(paths.values())), taken=set(given.values()))
    taken = set(given.values())
    own = {f: f[:FEWEST_DIGITS] if short[path] in taken else short[path] for f, path in paths.items()}
    return own | given


def short_names(paths: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """The shortest names that tell paths or hub ids apart, and that are not ``taken``.

    The shortest tail that no other path has. Where that is long, such as ``step_100/actor/checkpoint``: the last
    component that no other path has.
    """
    components = {path: path_parts(path) for path in paths}
    found = {}
    for path, parts in components.items():
        others = [components[other] for other in paths if other != path]
        tails = (("/".join(parts[-n:]), n) for n in range(1, len(parts) + 1))
        clear = (t for t, n in tails if t not in taken and all(other[-n:] != parts[-n:] for other in others))
        name = next(clear, path)
        if len(name) > LONGEST_NAME:
            elsewhere = {*taken, *(part for other in others for part in other)}
            name = next((part for part in reversed(parts) if part not in elsewhere), name)
        found[path] = name
    cut = {path: _cut(name) for path, name in found.items()}
    uses = Counter(cut.values())
    return {path: cut[path] if uses[cut[path]] == 1 else name for path, name in found.items()}


def path_parts(name: str) -> list[str]:
    """The components of a path or hub id."""
    return [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]


def means_model(name: str, path: str, fingerprint: str, shown: Collection[str]) -> bool:
    """Whether a typed name means a model: its path, a tail of it, a name of ``shown``, or a begun fingerprint."""
    parts = path_parts(name)
    return (
        name in (path, *shown)
        or (bool(parts) and path_parts(path)[-len(parts) :] == parts)
        or (len(name) >= FEWEST_DIGITS and fingerprint.startswith(name))
    )


def means_condition(
    name: str, id_: int, condition: Condition, shown_as: Collection[str], models: Collection[str]
) -> bool:
    """Whether a typed name means a condition.

    It does if it is one of its printed labels, or if each of its parts is its id, plain label, kind, task or model.

    Args:
        name: as typed.
        id_: the condition's id.
        condition: the condition.
        shown_as: the labels under which tables show it.
        models: names of its model besides its path.
    """
    if name == condition.label or name in shown_as:  # labels of imports may hold commas
        return True
    head, pairs = _split(name)
    known = {str(id_), condition.label, condition.kind.value, condition.task}
    said = {_short(key, condition) for key in DISTINGUISHING}
    return (
        bool(head or pairs)
        and all(pair in said for pair in pairs)
        and all(
            part in known or means_model(part, condition.model, condition.model_fingerprint, models) for part in head
        )
    )


def _split(name: str) -> tuple[list[str], list[str]]:
    """The parts of a label, and the fields in parentheses at its end."""
    found = re.fullmatch(r"(.*?)(?: \((\w+=.*|no \w+.*)\))?", name, re.DOTALL)
    assert found is not None  # it matches any text
    parts = [part for part in found[1].split(", ") if part]
    return parts, [] if found[2] is None else found[2].split(", ")


def _short(key: str, condition: Condition) -> str:
    value = getattr(condition, key)
    if value is None:
        return f"no {key}"
    if isinstance(value, tuple):
        value = " or ".join(map(repr, value))
    return f"{key}={value[:_DIGITS] if key.endswith(('digest', 'fingerprint')) else value}"


def _cut(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    kept = LONGEST_NAME - 3
    return f"{name[: kept - kept // 2]}...{name[-(kept // 2) :]}"
