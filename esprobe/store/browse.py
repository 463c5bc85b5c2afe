"""Single rollouts to be read by people: by condition, problem, seed and verdict, a page at a time.

A page of a file of millions takes milliseconds; only a filter by verdict alone reads on until the page is full.
"""

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from esprobe.errors import StoreError
from esprobe.records import ShownRollout, StoredRollout
from esprobe.spec import Prompt
from esprobe.store.database import damaged, scalar, translated
from esprobe.store.filters import RolloutFilter, keys_of
from esprobe.store.reader import RolloutStore
from esprobe.store.texts import checksum_column, sound_problems

_SHOWN = (
    "SELECT {checksum}, session_id, problem_group, inputs, prompt, problem_index, seed, text, reward, correct, answer, "
    "failure, token_count, finish_reason FROM ({keys}) CROSS JOIN problem ON problem.id = problem_id "
    "CROSS JOIN completion ON completion.id = completion_id ORDER BY seed, problem_id"
)


class RolloutBrowser(RolloutStore):
    """Read access to single rollouts."""

    def browse(self, selection: RolloutFilter, limit: int, offset: int = 0) -> Generator[ShownRollout]:
        """At most ``limit`` rollouts after the first ``offset``, by condition as given, then by seed and problem.

        A transaction is open until the last one; close the generator if you leave it before.

        Raises:
            StoreError: the file cannot be read, a problem is not of the form in which it was written, or a problem or
                a text is not the one that was written.
        """
        with translated(self.path), self._database.transaction() as connection:
            # All of them, and first: a problem whose index has changed would not be found under its own any more.
            sound_problems(connection, self.path)
            for condition_id in selection.condition_ids:
                keys, values = keys_of(connection, selection, condition_id)
                query = _SHOWN.format(keys=f"{keys} LIMIT :limit OFFSET :offset", checksum=checksum_column(connection))
                shown = 0
                for checksum, *row in connection.execute(query, values | {"limit": limit, "offset": offset}):
                    shown += 1
                    found = _shown(self.path, condition_id, row)
                    self.check_text(condition_id, found.rollout, checksum)
                    yield found
                limit -= shown
                if limit <= 0:
                    return
                if offset:
                    matching = scalar(connection, f"SELECT count(*) FROM ({keys})", values)
                    offset = max(offset - matching, 0)


def _shown(path: Path, condition_id: int, row: Sequence[Any]) -> ShownRollout:
    session_id, group, inputs, prompt, index, seed, text, reward, correct, *rest = row
    try:
        asked = json.loads(prompt)
        messages = tuple((role, content) for role, content in asked["messages"])
        given, assistant_prefix = dict(json.loads(inputs).items()), asked["begun"]
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise StoreError(damaged(path, f"problem {index} cannot be read: {err}")) from err
    return ShownRollout(
        condition_id=condition_id,
        session_id=session_id,
        group=group,
        inputs=given,
        prompt=Prompt(messages, assistant_prefix),
        rollout=StoredRollout(index, seed, text, reward, bool(correct), *rest),
    )
