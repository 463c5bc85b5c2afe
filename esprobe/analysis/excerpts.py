"""The problems and completions in the HTML report's explorer, read from a database."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from esprobe.records import Correctness, StoredProblem, StoredRollout
from esprobe.results.explorer import COMPLETIONS, LONGEST, Excerpt, ExploredProblem, Explorer
from esprobe.results.results import Results
from esprobe.store import RolloutStore

LONGEST_INPUT = 80
"""Characters of one input that are shown; longer ones, such as whole prompts, are left out."""


@dataclass
class _Problem:
    """One problem while its conditions are read; the mappings are by condition id."""

    problem: StoredProblem
    n: dict[int, int] = field(default_factory=dict)
    c: dict[int, int] = field(default_factory=dict)
    seeds: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)
    """The first seeds whose rollout is correct, and those whose rollout is wrong."""


def load_explorer(database: Path, results: Results, most: int = COMPLETIONS, longest: int = LONGEST) -> Explorer:
    """Every problem of the report's conditions with its counts and at most ``most`` completions.

    Of a completion of more than ``longest`` characters only the beginning and the end are kept.

    Of each condition in turn the first correct rollout by seed is taken, then of each the first wrong one, then the
    second ones, and so on.

    Raises:
        StoreError: the file cannot be read.
    """
    ids = tuple(r.id for r in results.conditions)
    found: dict[int, _Problem] = {}
    with RolloutStore.open(database) as store, store.snapshot():
        for id_ in ids:
            matrix, problems = store.verdicts(id_)
            for row, problem in enumerate(problems):
                _add(found.setdefault(problem.id, _Problem(problem)), id_, matrix, row, most)
        chosen = {key: _in_turn(one.seeds, ids, most) for key, one in found.items()}
        texts = {id_: _texts(store, id_, chosen) for id_ in ids}
    digests = {id_: r.condition.data_digest for id_, r in zip(ids, results.conditions, strict=True)}
    several = len(set(digests.values())) > 1
    explored = [
        ExploredProblem(
            name=f"{one.problem.index} of {digests[next(iter(one.n))][:8]}" if several else str(one.problem.index),
            group=one.problem.group,
            inputs=shown_inputs(one.problem.inputs),
            n=tuple(one.n.get(id_, 0) for id_ in ids),
            c=tuple(one.c.get(id_, 0) for id_ in ids),
            excerpts=tuple(_excerpt(id_, texts[id_][one.problem.index, seed], longest) for id_, seed in chosen[key]),
        )
        for key, one in sorted(found.items(), key=lambda item: (item[1].problem.index, item[0]))
    ]
    return Explorer(ids, tuple(explored), most, longest)


def _add(one: _Problem, id_: int, matrix: Correctness, row: int, most: int) -> None:
    right = matrix.correct[row]
    wrong = matrix.stored[row] & ~right
    one.n[id_], one.c[id_] = int(matrix.stored[row].sum()), int(right.sum())
    first = [matrix.seeds[np.flatnonzero(which)[:most]].tolist() for which in (right, wrong)]
    one.seeds[id_] = (first[0], first[1])


def _in_turn(seeds: Mapping[int, tuple[list[int], list[int]]], ids: Sequence[int], most: int) -> list[tuple[int, int]]:
    """(condition, seed): each condition's first correct one, then each one's first wrong one, then the second ones."""
    rounds = (
        (id_, seeds[id_][verdict][number])
        for number in range(most)
        for verdict in (0, 1)
        for id_ in ids
        if id_ in seeds and number < len(seeds[id_][verdict])
    )
    return list(islice(rounds, most))


def _texts(
    store: RolloutStore, id_: int, chosen: Mapping[int, Sequence[tuple[int, int]]]
) -> dict[tuple[int, int], StoredRollout]:
    """A condition's chosen rollouts by problem index and seed."""
    wanted = [(problem, seed) for problem, pairs in chosen.items() for condition, seed in pairs if condition == id_]
    return {(found.problem, found.seed): found for found in store.excerpts(id_, wanted)}


def _excerpt(id_: int, found: StoredRollout, longest: int) -> Excerpt:
    return Excerpt(
        condition=id_,
        seed=found.seed,
        correct=found.correct,
        answer=found.answer,
        failure=found.failure,
        tokens=found.token_count,
        finish=found.finish_reason,
        text=clipped(found.completion, longest),
    )


def shown_inputs(inputs: Mapping[str, Any]) -> str:
    """What is asked, in a line; long inputs are left out."""
    spelled = ((name, value if isinstance(value, str) else json.dumps(value)) for name, value in inputs.items())
    return "; ".join(f"{name} {value}" for name, value in spelled if len(value) <= LONGEST_INPUT)


def clipped(text: str, longest: int) -> str:
    """A text, or the beginning and the end of a longer one with the number of characters between them."""
    left_out = len(text) - longest
    if left_out <= 0:
        return text
    half = longest // 2
    end = text[len(text) - (longest - half) :]
    return f"{text[:half]}\n[... {left_out:,} characters are not in this page ...]\n{end}"
