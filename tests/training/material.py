"""Small training runs, and what decides a trained model in a database."""

import json
from pathlib import Path

from tests.sampling.material import query, write_data, write_script

TEXTS = [f" {'word ' * i}</think>\n<answer> {i} + 2 </answer>" for i in range(1, 6)]


def scripted(folder: Path, *more: object) -> list[object]:
    """A run of the scripted engine that takes less than a second; rewards depend on seeds and on the training."""
    script = write_script(folder / "script.json", *TEXTS, "no answer")
    data = write_data(folder / "data.json", 40)
    return [
        *("train-es", "--engine", "scripted", "--model", script, "--data", data),
        *("--problems", "0:10", "--eval-problems", "20:30", "--population", 4, "--eval-every", 2, *more),
    ]


def iterations(database: Path) -> list[tuple[object, ...]]:
    """Recipe, seeds, fitness, coefficients and digests of every finished iteration of every run."""
    return query(
        database,
        "SELECT digest, iteration, members, trajectory, state FROM iteration "
        "JOIN training ON training.id = training_id ORDER BY 1, 2",
    )


def drawn(database: Path) -> list[tuple[object, ...]]:
    """Every rollout by the digest of its condition: sessions and ids left out."""
    return query(
        database,
        "SELECT digest, problem, seed, completion, reward, correct, answer, failure, token_count, finish_reason "
        "FROM rollouts JOIN condition ON condition.id = condition ORDER BY 1, 2, 3",
    )


def members(database: Path) -> list[list[list[float]]]:
    """[seed, sign, fitness, coefficient] of each member of each iteration of the only run."""
    return [json.loads(str(one)) for (one,) in query(database, "SELECT members FROM iteration ORDER BY iteration")]
