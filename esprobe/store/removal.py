"""Taking conditions out of a database, with all that only they need."""

from collections.abc import Sequence

from esprobe.errors import UsageError
from esprobe.records import StoredCondition
from esprobe.store.writer import RolloutWriter

_SESSIONS = "SELECT session_id FROM work WHERE condition_id = :id"


def check_removable(conditions: Sequence[StoredCondition]) -> None:
    """Refuse conditions without which others could not be understood.

    Raises:
        UsageError: one is the population of a training run, whose updates follow from its rewards.
    """
    for stored in conditions:
        if stored.condition.run is not None:
            raise UsageError(
                f"condition {stored.id} ({stored.condition.label}) is the population of a training run, whose later "
                f"iterations follow from its rewards, so it cannot be removed alone"
            )


def remove(store: RolloutWriter, conditions: Sequence[StoredCondition]) -> int:
    """Delete conditions with their rollouts, texts and plans, in one transaction; returns the number of rollouts.

    Sessions that planned nothing else go too; of the others the counts of rollouts and tokens are lowered. Problems,
    chances of guessing and names of models go with the last condition that has them. The file keeps its size: later
    rollouts use the room.

    Raises:
        UsageError: a condition cannot be removed (``check_removable``).
        StoreError: the database cannot be written.
    """
    check_removable(conditions)
    removed = 0
    with store.reading() as connection:
        for stored in conditions:
            given = {"id": stored.id}
            connection.execute("DROP TABLE IF EXISTS temp.removed")
            connection.execute(
                "CREATE TEMP TABLE removed AS SELECT completion_id FROM rollout WHERE condition_id = :id", given
            )
            connection.execute(
                "UPDATE session SET rollouts = session.rollouts - work.rollouts, tokens = session.tokens - work.tokens "
                "FROM work WHERE work.session_id = session.id AND work.condition_id = :id",
                given,
            )
            removed += connection.execute("DELETE FROM rollout WHERE condition_id = :id", given).rowcount
            connection.execute("DELETE FROM completion WHERE id IN (SELECT completion_id FROM temp.removed)")
            connection.execute("DROP TABLE temp.removed")
            connection.execute(
                "CREATE TEMP TABLE planned AS " + _SESSIONS + " EXCEPT SELECT session_id FROM work WHERE "
                "condition_id <> :id",
                given,
            )
            connection.execute("DELETE FROM work WHERE condition_id = :id", given)
            connection.execute("DELETE FROM given_up WHERE condition_id = :id", given)
            connection.execute("DELETE FROM session WHERE id IN (SELECT session_id FROM temp.planned)")
            connection.execute("DROP TABLE temp.planned")
            connection.execute("DELETE FROM condition WHERE id = :id", given)
        remaining = "(SELECT json_extract(identity, '$.{}') FROM condition)"
        connection.execute(f"DELETE FROM problem WHERE task NOT IN {remaining.format('task')}")
        connection.execute(f"DELETE FROM guessing WHERE data_digest NOT IN {remaining.format('data_digest')}")
        connection.execute(f"DELETE FROM model_name WHERE fingerprint NOT IN {remaining.format('model_fingerprint')}")
    return removed
