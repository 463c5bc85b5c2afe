"""From a database to the problems and completions that the page's explorer holds."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esprobe.records import Correctness, StoredProblem, StoredRollout
from esprobe.report.explorer import COMPLETIONS, Excerpt, ExploredProblem, Explorer, clipped
from esprobe.report.results import Results
from esprobe.store import RolloutStore

LONGEST_INPUT = 80
"""Characters of one input that are shown; longer ones, such as whole prompts, are left out."""

Key = tuple[str, int]
"""A problem: the data set's digest and the index in it."""


def load_explorer(database: Path, results: Results, most: int = COMPLETIONS) -> Explorer:
    """Every problem of the report's conditions with its counts and at most ``most`` completions.

    Of each condition in turn the first correct rollout is taken, then of each the first wrong one, then the second
    ones, and so on: what is looked at does not depend on what is found in it.

    Raises:
        StoreError: the file cannot be read.
    """
    ids = tuple(r.id for r in results.conditions)
    digests = {r.id: r.condition.data_digest for r in results.conditions}
    problems: dict[Key, StoredProblem] = {}
    counts: dict[Key, dict[int, tuple[int, int]]] = {}
    seeds: dict[Key, dict[int, list[list[int]]]] = {}
    with RolloutStore.open(database) as store:
        for id_ in ids:
            problems |= {(digests[id_], problem.index): problem for problem in store.problems(id_)}
            matrix = store.correctness(id_)
            n, c = matrix.stored.sum(axis=1), matrix.correct.sum(axis=1)
            for row, index in enumerate(matrix.problems.tolist()):
                key = (digests[id_], index)
                counts.setdefault(key, {})[id_] = (int(n[row]), int(c[row]))
                seeds.setdefault(key, {})[id_] = _first(matrix, row, most)
        chosen = {key: _in_turn(of, ids, most) for key, of in seeds.items()}
        texts = {id_: _texts(store, id_, digests[id_], chosen) for id_ in ids}
    several = len(set(digests.values())) > 1
    return Explorer(
        ids,
        tuple(
            ExploredProblem(
                name=f"{key[1]} of {key[0][:8]}" if several else str(key[1]),
                group=problems[key].group,
                inputs=_asked(problems[key].inputs),
                n=tuple(counts[key].get(id_, (0, 0))[0] for id_ in ids),
                c=tuple(counts[key].get(id_, (0, 0))[1] for id_ in ids),
                excerpts=tuple(
                    _excerpt(id_, found)
                    for id_, seed in chosen[key]
                    if (found := texts[id_].get((key[1], seed))) is not None
                ),
            )
            for key in sorted(counts, key=lambda key: (key[1], key[0]))
            if key in problems
        ),
        most,
    )


def _first(matrix: Correctness, row: int, most: int) -> list[list[int]]:
    """The first seeds whose rollout is correct, and those whose rollout is wrong."""
    right: NDArray[np.bool_] = matrix.correct[row]
    wrong = matrix.stored[row] & ~right
    return [matrix.seeds[np.flatnonzero(which)[:most]].tolist() for which in (right, wrong)]


def _in_turn(seeds: Mapping[int, list[list[int]]], ids: Sequence[int], most: int) -> list[tuple[int, int]]:
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
    store: RolloutStore, id_: int, digest: str, chosen: Mapping[Key, Sequence[tuple[int, int]]]
) -> dict[tuple[int, int], StoredRollout]:
    wanted = chain.from_iterable(
        ((key[1], seed) for condition, seed in pairs if condition == id_)
        for key, pairs in chosen.items()
        if key[0] == digest
    )
    return {(found.problem, found.seed): found for found in store.excerpts(id_, list(wanted))}


def _excerpt(id_: int, found: StoredRollout) -> Excerpt:
    return Excerpt(
        condition=id_,
        seed=found.seed,
        correct=found.correct,
        answer=found.answer,
        failure=found.failure,
        tokens=found.token_count,
        finish=found.finish_reason,
        text=clipped(found.completion),
    )


def _asked(inputs: Mapping[str, Any]) -> str:
    spelled = ((name, value if isinstance(value, str) else json.dumps(value)) for name, value in inputs.items())
    return "; ".join(f"{name} {value}" for name, value in spelled if len(value) <= LONGEST_INPUT)
