"""All verdicts of one condition, read fast and compared with the totals recorded when they were written.

Triggers maintain a checksum over a condition's rollouts (migration m002): the sum, modulo 2**31 - 1, of
``w(seed) * w(problem_id) * (1 + correct + 2 * cut_off)`` over its rows, where w is a cubic map. It does not depend on
the order of insertion, and every change through SQL updates it; a flipped bit or a lost page in the file does not. A
change of one verdict is always detected; a random change of many goes undetected with a probability of one in two
billion. Token counts are compared by their sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from sqlite3 import Connection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from esprobe.store.database import scalar

if TYPE_CHECKING:
    from esprobe.records import Totals

MODULUS = 2**31 - 1
_OFFSET = 40503

# One string per seed instead of one row per rollout: two million verdicts take a third of a second. The table is
# clustered by (condition, seed, problem), so the digits of a seed are in the order of its problems. SQLite does not
# guarantee that; the checksum verifies the order, and which problems they are.
_DIGITS = (
    "SELECT seed, group_concat(correct + 2 * (finish_reason = 'length'), ''), sum(token_count) FROM rollout "
    "WHERE condition_id = ? GROUP BY seed ORDER BY seed"
)
_IDS = "SELECT group_concat(problem_id) FROM (SELECT problem_id FROM rollout WHERE condition_id = ? AND seed = ?)"
_EXACT = (
    "SELECT seed, group_concat(correct + 2 * (finish_reason = 'length'), ''), sum(token_count), "
    "group_concat(problem_id) FROM (SELECT seed, problem_id, correct, finish_reason, token_count FROM rollout "
    "WHERE condition_id = ? ORDER BY seed, problem_id) GROUP BY seed ORDER BY seed"
)


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one condition.

    Attributes:
        problem_ids: (P,) int64, ascending.
        seeds: (S,) int64, ascending.
        digits: (P, S) uint8: 0 where nothing is stored, else 1 + correct + 2 * cut off.
        tokens: sum of the token counts of all rollouts.
    """

    problem_ids: NDArray[np.int64]
    seeds: NDArray[np.int64]
    digits: NDArray[np.uint8]
    tokens: int

    @property
    def stored(self) -> NDArray[np.bool_]:
        """(P, S) which rollouts exist."""
        return self.digits > 0

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(P, S) which of them are correct."""
        return np.isin(self.digits, (2, 4))

    def matches(self, recorded: "Totals") -> bool:
        """Whether counts, tokens and checksum equal the recorded ones."""
        rollouts, cut_off = int(np.count_nonzero(self.digits)), int(np.count_nonzero(self.digits > 2))
        scanned = (rollouts, int(np.count_nonzero(self.correct)), self.tokens, cut_off, self._checksum())
        return scanned == (recorded.rollouts, recorded.correct, recorded.tokens, recorded.cut_off, recorded.checksum)

    def _checksum(self) -> int:
        by_seed = weights(self.problem_ids) @ self.digits.astype(np.int64) % MODULUS
        return int((weights(self.seeds) * by_seed % MODULUS).sum() % MODULUS)


def weights(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cubic map w of seeds and problem ids, below 2**31 - 1; as the triggers compute it."""
    x = (numbers % MODULUS + _OFFSET) % MODULUS
    cubes: NDArray[np.int64] = x * x % MODULUS * x % MODULUS
    return cubes


def read_verdicts(connection: Connection, condition_id: int, recorded: "Totals | None") -> Verdicts | None:
    """Scan one condition; None if the verdicts have changed since they were written.

    ``recorded`` is None for files without migration m002: then only impossible values are detected.
    """
    try:
        if recorded is not None:
            quick = _read_quickly(connection, condition_id)
            if quick is not None and quick.matches(recorded):
                return quick
        exact = _read_exactly(connection, condition_id)
    except (ValueError, TypeError, OverflowError, AttributeError):
        return None  # STRICT checks writes only: in a damaged file a number may be read as text or NULL
    return exact if exact is not None and (recorded is None or exact.matches(recorded)) else None


def _read_exactly(connection: Connection, condition_id: int) -> Verdicts | None:
    parsed: dict[str, NDArray[np.int64]] = {}  # complete seeds all have the same problems
    columns, sums = [], []
    for seed, digits, tokens, ids in connection.execute(_EXACT, (condition_id,)):
        if ids not in parsed:
            parsed[ids] = _numbers(ids)
        columns.append((seed, digits, parsed[ids]))
        sums.append(tokens)
    return _assembled(columns, sum(sums))


def _read_quickly(connection: Connection, condition_id: int) -> Verdicts | None:
    """The verdicts, assuming that all seeds with the most problems have the same ones; the caller must verify that."""
    rows: Sequence[tuple[int, str, int]] = connection.execute(_DIGITS, (condition_id,)).fetchall()
    most = max((len(digits) for _, digits, _ in rows), default=0)
    if sum(len(digits) < most for _, digits, _ in rows) > len(rows) // 4:
        return None  # each incomplete seed needs its own query; _read_exactly is faster then
    shared: NDArray[np.int64] | None = None
    columns = []
    for seed, digits, _ in rows:
        ids = shared if len(digits) == most else None
        if ids is None:
            ids = _numbers(scalar(connection, _IDS, (condition_id, seed)) or "")
            shared = ids if len(digits) == most else shared
        columns.append((seed, digits, ids))
    return _assembled(columns, sum(tokens for _, _, tokens in rows))


def _numbers(joined: str) -> NDArray[np.int64]:
    return np.array(joined.split(",") if joined else [], np.int64)


def _assembled(columns: Sequence[tuple[int, str, NDArray[np.int64]]], tokens: int) -> Verdicts | None:
    if any(len(digits) != len(ids) for _, digits, ids in columns):
        return None  # a verdict of more than one digit
    distinct = {id(ids): ids for _, _, ids in columns}
    problem_ids = np.array(sorted({*chain.from_iterable(ids.tolist() for ids in distinct.values())}), np.int64)
    rows = {key: np.searchsorted(problem_ids, ids) for key, ids in distinct.items()}
    by_seed = np.zeros((len(columns), len(problem_ids)), np.uint8)
    for row, (_, digits, ids) in enumerate(columns):
        by_seed[row, rows[id(ids)]] = np.frombuffer(digits.encode(), np.uint8) - (ord("0") - 1)
    if by_seed.max(initial=0) > 4:
        return None  # a verdict that is neither 0 nor 1
    return Verdicts(problem_ids, np.array([seed for seed, _, _ in columns], np.int64), by_seed.T, tokens)
