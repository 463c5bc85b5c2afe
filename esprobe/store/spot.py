"""A random sample of a condition's rollouts with texts, by whole seeds: key ranges are read, nothing is scanned."""

import random
from collections.abc import Iterator

from esprobe.spec import Score
from esprobe.store.database import scalars
from esprobe.store.reader import RolloutStore
from esprobe.store.session_verdicts import ScoredText


def spot_texts(store: RolloutStore, condition_id: int, at_least: int) -> Iterator[tuple[int, ScoredText]]:
    """(session id, rollout) for all rollouts of randomly chosen seeds, until there are ``at_least`` rollouts."""
    with store.reading() as connection:
        seeds = scalars(connection, "SELECT seed FROM rollout WHERE condition_id = ? GROUP BY seed", (condition_id,))
        drawn = 0
        for seed in random.sample(seeds, len(seeds)):
            if drawn >= at_least:
                return
            rows = connection.execute(
                "SELECT session_id, problem_id, text, reward, correct, answer, failure FROM rollout "
                "JOIN completion ON completion.id = completion_id WHERE condition_id = ? AND seed = ?",
                (condition_id, seed),
            ).fetchall()
            for session_id, problem_id, text, reward, correct, answer, failure in rows:
                score = Score(reward, bool(correct), answer, failure)
                yield session_id, ScoredText(condition_id, seed, problem_id, text, score)
            drawn += len(rows)
