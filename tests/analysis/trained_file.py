"""A database with a training run, perturbations of its base and evaluations, all with chosen verdicts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from esprobe.records import Extent
from esprobe.records.training import Iteration, Member
from esprobe.spec import BASELINE_SEED, Condition, Problem, Prompt, Score
from esprobe.store import NewRollout, RolloutWriter
from esprobe.store.training_writer import record_iteration, register_run
from esprobe.trajectory import Trajectory, Update
from tests.store.material import GREEDY, rollout

TRAINING, TEST = range(20), range(20, 120)
ALL = range(120)


def trained_file(
    path: Path,
    *,
    base: np.ndarray,
    trained: dict[int, np.ndarray],
    perturbed: np.ndarray | None,
    populations: list[np.ndarray],
    seed: int = 42,
) -> Path:
    """Write it, or add a run of another seed to it.

    Args:
        path: the database.
        base: (100,) verdicts of the base on the test problems.
        trained: those of the trained models, by iteration.
        perturbed: (120, N) verdicts of perturbations on all problems; None for none.
        populations: (20, members) verdicts on the training problems, one for each iteration.
        seed: the run's.
    """
    size = populations[0].shape[1]
    recipe: dict[str, Any] = {
        "algorithm": "esprobe/es/1",
        "base": {key: value for key, value in GREEDY.identity.items() if key != "kind"},
        "scorer": "es-paper/1",
        "problems": [TRAINING.start, TRAINING.stop],
        "problems_per_iteration": len(TRAINING),
        "sigma": 0.004,
        "alpha": 0.006,
        "population": size,
        "shaping": "zscore",
        "antithetic": False,
        "noise": "iid",
        "scope": None,
        "seed": seed,
    }
    with RolloutWriter.open(path) as store:
        ids = store.register_problems(
            "countdown", GREEDY.data_digest, ((_problem(index), Prompt((), "")) for index in ALL)
        )
        run = register_run(store, "a-model", recipe)

        def add(condition: Condition, indices: range, first_seed: int, verdicts: np.ndarray) -> None:
            id_ = store.register_condition(condition)
            extent = Extent(indices.start, indices.stop, first_seed, verdicts.shape[1], len(indices))
            session = store.begin_session("esprobe train-es", "es-paper/1", {id_: extent}, {}, {}, {})
            drawn = [
                _rollout(id_, ids[index], first_seed + column, correct=bool(one))
                for index, row in zip(indices, verdicts, strict=True)
                for column, one in enumerate(row)
            ]
            store.add(session, drawn, {})
            store.end_session(session, "done")

        made = Trajectory(run.digest)
        for number, verdicts in enumerate(populations):
            condition = replace(
                GREEDY, sigma=0.004, noise="iid", run=run.digest, iteration=number, trajectory=made.digest
            )
            add(condition, TRAINING, 1000 * number, verdicts)
            fitness = 0.1 + verdicts.mean(axis=0)
            seeds = tuple(range(1000 * number, 1000 * number + size))
            made = made.extended(Update(seeds, (0.0,) * size))
            members = tuple(Member(one, 1, float(f), 0.0) for one, f in zip(seeds, fitness, strict=True))
            record_iteration(
                store,
                run.id,
                number,
                Iteration(members, made.digest, "0" * 64, {"mlp": (0.5 * number, 10.0)} if number else {}),
            )
        if seed == 42:
            add(GREEDY, TEST, BASELINE_SEED, base[:, None])
            if perturbed is not None:
                add(replace(GREEDY, sigma=0.004, noise="iid"), ALL, 42, perturbed)
        for number, verdicts in trained.items():
            name, fingerprint = f"es.db:{run.id}@{number}", made.upto(number).fingerprint
            add(replace(GREEDY, model=name, model_fingerprint=fingerprint), TEST, BASELINE_SEED, verdicts[:, None])
    return path


def _rollout(condition_id: int, problem_id: int, seed: int, *, correct: bool) -> NewRollout:
    made = rollout(condition_id, problem_id, seed)
    score = Score(1.1, True, "3", None) if correct else Score(0.1, False, "4", "wrong value")
    return made._replace(score=score)


def _problem(index: int) -> Problem:
    return Problem(index, {"numbers": [1, 2], "target": "3"}, "2 numbers")


def share(count: int, of: int = 100) -> np.ndarray:
    """(of,) verdicts, of which the first ``count`` are right."""
    return np.arange(of) < count
