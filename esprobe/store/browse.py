"""Single rollouts for people to read, filtered by condition, problem, seed and verdict, one page at a time.

In a database of millions of rollouts a page takes milliseconds, because the primary key finds its rows; only a filter
by verdict alone scans rows until the page is full.
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
        """At most ``limit`` rollouts after the first ``offset``: by condition as given, then by seed and problem.

        A transaction stays open until the last rollout; close the generator if you stop earlier.

        Raises:
            StoreError: the file cannot be read, a problem cannot be parsed, or a problem or a text has changed since it
                was written.
        """
        with translated(self.path), self._database.transaction() as connection:
            # Check all problems first: a filter by index would silently miss a problem whose index is damaged.
            sound_problems(connection, self.path)
            for condition_id in selection.condition_ids:
                keys, values = keys_of(connection, selection, condition_id)
                query = _SHOWN.format(keys=f"{keys} LIMIT :limit OFFSET :offset", checksum=checksum_column(connection))
                shown = 0
                for checksum, *row in connection.execute(query, values | {"limit": limit, "offset": offset}):
                    shown += 1
                    rollout = _shown(self.path, condition_id, row)
                    self.check_text(condition_id, rollout.rollout, checksum)
                    yield rollout
                limit -= shown
                if limit <= 0:
                    return
                if offset:
                    matching = scalar(connection, f"SELECT count(*) FROM ({keys})", values)
                    offset = max(offset - matching, 0)


def _shown(path: Path, condition_id: int, row: Sequence[Any]) -> ShownRollout:
    session_id, group, inputs, prompt, index, seed, text, reward, correct, *rest = row
    try:
        parsed_prompt = json.loads(prompt)
        messages = tuple((role, content) for role, content in parsed_prompt["messages"])
        parsed_inputs, assistant_prefix = dict(json.loads(inputs).items()), parsed_prompt["begun"]
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise StoreError(damaged(path, f"problem {index} cannot be read: {err}")) from err
    return ShownRollout(
        condition_id=condition_id,
        session_id=session_id,
        group=group,
        inputs=parsed_inputs,
        prompt=Prompt(messages, assistant_prefix),
        rollout=StoredRollout(index, seed, text, reward, bool(correct), *rest),
    )
