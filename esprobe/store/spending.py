"""What the rollouts of a condition took: tokens, engine time, and the lengths of their texts."""

from typing import NamedTuple

from esprobe.store.database import scalars
from esprobe.store.reader import RolloutStore


class Spent(NamedTuple):
    """Sums over the sessions that sampled a condition.

    Attributes:
        rollouts: how many rollouts.
        tokens: their generated tokens.
        generate_s: seconds in which a worker generated them, summed over workers.
        switch_s: seconds in which a worker changed weights for them, likewise.
    """

    rollouts: int
    tokens: int
    generate_s: float
    switch_s: float


def spent_on(store: RolloutStore, condition_id: int) -> Spent:
    """What a condition's rollouts took."""
    query = (
        "SELECT coalesce(sum(rollouts), 0), coalesce(sum(tokens), 0), coalesce(sum(generate_s), 0.0), "
        "coalesce(sum(switch_s), 0.0) FROM work WHERE condition_id = ?"
    )
    with store.reading() as connection:
        return Spent(*connection.execute(query, (condition_id,)).fetchone())


def text_lengths(store: RolloutStore, condition_id: int, most: int) -> list[int]:
    """Bytes of the texts of the first rollouts of a condition, in the order of the key."""
    query = (
        "SELECT length(CAST(text AS BLOB)) FROM rollout JOIN completion ON completion.id = completion_id "
        "WHERE condition_id = ? ORDER BY seed, problem_id LIMIT ?"
    )
    with store.reading() as connection:
        return [int(length) for length in scalars(connection, query, (condition_id, most))]
