"""What a damaged database still holds: rows that are whole, found on its pages whatever has become of its trees.

Owns how rows are told from each other and which count as whole. Does not score, and writes nothing.
"""

import json
import re
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from esprobe.errors import StoreError
from esprobe.records import StoredCondition, Totals
from esprobe.records.given_up import GivenUp
from esprobe.records.guessing import Guess
from esprobe.spec import Score, digest_of
from esprobe.store.given_up import whole_mark
from esprobe.store.guessing import whole_guess
from esprobe.store.model_names import whole_name
from esprobe.store.pages import Pages, Row, Value
from esprobe.store.reader import stored_condition
from esprobe.store.texts import WrittenProblem, has_changed
from esprobe.store.training import lacking_keys
from esprobe.store.wal import why_foreign

_SESSION_COLUMNS = 18
_M004_SESSION_COLUMNS = 16
_FINISH_REASONS = ("stop", "length", "loop", "unknown")
_CACHED_PAGES = 256
_SCORER = re.compile(r"[\w.-]{1,60}/[0-9]{1,4}|given")


class FoundRollout(NamedTuple):
    """A rollout whose key and text are whole; ids are those of the damaged file."""

    condition_id: int
    seed: int
    problem_id: int
    score: Score
    token_count: int
    finish_reason: str
    session_id: int
    completion_id: int
    text: str


class DamagedFile:
    """The readable rows of one database.

    Attributes:
        conditions: by id; each is whole.
        problems: by id; each matches its checksum, if it has one.
        scorers: names by id.
        sessions: columns by id, without the id, in the order of the newest schema.
        works: rows of the table ``work``.
        totals: sums recorded for each condition, by its id.
        trainings: rows of the table ``training`` by id, without the id; each matches its digest.
        iterations: rows of the table ``iteration``, as they were found.
        guesses: chances of guessing; each matches its checksum.
        model_names: names given to models, by fingerprint; each matches its checksum.
        marks: (condition id, seeds that were given up); each matches its checksum.
        dropped: rollouts that were found and are not whole, by (condition id or None, why).
        foreign_log: why the write-ahead log beside the file was not read; None if it was, or there is none.
    """

    def __init__(self, path: Path) -> None:
        """Look through all pages.

        Raises:
            OSError: the file cannot be read.
            StoreError: it is empty.
        """
        self.path = path
        self.foreign_log = why_foreign(path)
        self._pages = Pages(path, use_log=self.foreign_log is None)
        self.conditions: dict[int, StoredCondition] = {}
        self.problems: dict[int, WrittenProblem] = {}
        self.scorers: dict[int, str] = {}
        self.sessions: dict[int, tuple[Any, ...]] = {}
        self.works: list[tuple[Any, ...]] = []
        self.totals: dict[int, Totals] = {}
        self.trainings: dict[int, tuple[Any, ...]] = {}
        self.iterations: list[tuple[Any, ...]] = []
        self.guesses: list[Guess] = []
        self.model_names: dict[str, str] = {}
        self.marks: list[tuple[int, GivenUp]] = []
        self.dropped: Counter[tuple[int | None, str]] = Counter()
        self._rollout_pages: list[int] = []
        self._cache: OrderedDict[int, dict[int, Row]] = OrderedDict()
        self._ids, self._text_pages = self._look_through()

    def close(self) -> None:
        """Close the file."""
        self._pages.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def page_count(self) -> int:
        """How many pages the file has."""
        return self._pages.count

    def rollouts(self) -> Iterator[FoundRollout]:
        """Every rollout whose key is possible and whose text is whole, in the order of the file's pages."""
        for number in self._rollout_pages:
            for values in _ascending([row.values for row in self._pages.rows(number) if _is_rollout(row)]):
                condition, seed, problem, reward, correct, answer, failure, tokens, reason, session, completion = values
                if condition not in self.conditions:
                    self.dropped[None, "its condition is lost"] += 1
                elif problem not in self.problems:
                    self.dropped[condition, "its problem is lost"] += 1
                elif (text := self._text(completion)) is None:
                    self.dropped[condition, "its text is lost or has changed"] += 1
                else:
                    score = Score(float(reward), bool(correct), answer, failure)
                    yield FoundRollout(condition, seed, problem, score, tokens, reason, session, completion, text)

    def _look_through(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Read all small tables; returns the ids of completions, ascending, and the page of each."""
        texts = []
        roots: dict[Value, Value] = {}
        free = self._pages.free()
        for number in range(1, self._pages.count + 1):
            first = None if number in free else next(self._pages.rows(number), None)
            if first is None:
                continue
            if first.rowid is None and len(first.values) == 11:
                self._rollout_pages.append(number)
                self.works += [row.values for row in self._pages.rows(number) if _is_work(row)]
            elif first.rowid is not None and _is_text(first):
                texts.append(number)
            else:
                for row in self._pages.rows(number):
                    self._keep(row)
                    if len(row.values) == 5 and row.values[0] == "table":
                        roots[row.values[1]] = row.values[3]
        # A scorer's row looks like that of a completion from before checksums; its table never outgrows its root.
        root = roots.get("scorer")
        for number in [number for number in texts if number == root or (root is None and self._names_scorers(number))]:
            texts.remove(number)
            self.scorers |= {row.rowid: str(row.values[1]) for row in self._pages.rows(number) if row.rowid is not None}
        ids = [np.array(self._pages.rowids(number), np.int64) for number in texts]
        all_ids = np.concatenate([np.empty(0, np.int64), *ids])
        all_pages = np.repeat(np.array(texts, np.int64), [len(one) for one in ids])
        order = np.argsort(all_ids, kind="stable")
        return all_ids[order], all_pages[order]

    def _names_scorers(self, number: int) -> bool:
        """Whether all rows of a page are names such as "strict/1", where the schema that would tell is lost."""
        return all(len(row.values) == 2 and _SCORER.fullmatch(str(row.values[1])) for row in self._pages.rows(number))

    def _keep(self, row: Row) -> None:
        id_, values = row.rowid, row.values
        if id_ is None:
            if len(values) == 6 and isinstance(values[1], int):
                self.iterations.append(values)
            return
        match len(values):
            case 4 if (found := whole_name(values[1:])) is not None:
                self.model_names.update([found])
            case 5 if _is_recipe(values[3], values[1]):
                self.trainings[id_] = values[1:]
            case 6 if all(isinstance(value, int) for value in values[1:]):
                self.totals[id_] = Totals(*values[1:])  # type: ignore[arg-type]
            case 7 if isinstance(values[6], int):
                if (guess := whole_guess(values[1:])) is not None:
                    self.guesses.append(guess)
            case 7:
                _, _, _, _, model, identity, digest = values
                try:
                    self.conditions[id_] = stored_condition(self.path, id_, model, identity, digest)  # type: ignore[arg-type]
                except StoreError:
                    return  # it is not what its digest says
            case 8 if isinstance(values[1], int):
                if (mark := whole_mark(values[1:])) is not None:
                    self.marks.append((values[1], mark))
            case 8 | 9 if isinstance(values[1], str):
                problem = WrittenProblem(id_, *values[1:8], values[8] if len(values) == 9 else None)  # type: ignore[arg-type, call-arg]
                if not problem.has_changed and _is_json(problem.inputs) and _is_json(problem.prompt):
                    self.problems[id_] = problem
            case 14 | 15 | 16 | 17 | 18 if isinstance(values[1], str):
                self.sessions[id_] = _session(values)

    def _text(self, completion_id: int) -> str | None:
        """The text of this id that matches its checksum."""
        for at in range(int(np.searchsorted(self._ids, completion_id)), len(self._ids)):
            if self._ids[at] != completion_id:
                break
            row = self._rows_of(int(self._text_pages[at])).get(completion_id)
            if row is None:
                continue
            text, checksum = row.values[1], row.values[2] if len(row.values) > 2 else None
            if isinstance(text, str) and not has_changed(text, checksum):  # type: ignore[arg-type]
                return text
        return None

    def _rows_of(self, number: int) -> dict[int, Row]:
        """The texts of a page by id; the last pages stay in memory, because neighbours are asked for in turn."""
        if number not in self._cache:
            self._cache[number] = {row.rowid: row for row in self._pages.rows(number) if row.rowid and _is_text(row)}
            if len(self._cache) > _CACHED_PAGES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(number)
        return self._cache[number]


def _is_text(row: Row) -> bool:
    values = row.values
    return (
        len(values) in (2, 3)
        and values[0] is None
        and isinstance(values[1], str)
        and (len(values) == 2 or values[2] is None or isinstance(values[2], int))
    )


def _is_rollout(row: Row) -> bool:
    values = row.values
    return (
        row.rowid is None
        and len(values) == 11
        and all(isinstance(values[i], int) for i in (0, 1, 2, 4, 7, 9, 10))
        and isinstance(values[3], int | float)
        and values[4] in (0, 1)
        and isinstance(values[5], str | None)
        and isinstance(values[6], str | None)
        and values[8] in _FINISH_REASONS
    )


def _is_work(row: Row) -> bool:
    values = row.values
    return row.rowid is None and len(values) == 11 and all(isinstance(value, int | float) for value in values)


def _is_recipe(text: object, digest: object) -> bool:
    if not isinstance(text, str) or not _is_json(text) or digest_of(recipe := json.loads(text)) != digest:
        return False
    return isinstance(recipe, dict) and isinstance(recipe.get("base"), dict) and not lacking_keys(recipe)


def _is_json(text: object) -> bool:
    try:
        json.loads(text)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return True


def _session(values: Sequence[Any]) -> tuple[Any, ...]:
    """The columns after the id; what migration m004 has given columns of their own is taken out of older JSON."""
    columns = list(values[1:]) + [None] * (_SESSION_COLUMNS - len(values))
    for json_column, own_column, key in ((10, 13, "shard"), (11, 14, "rescored")):
        if len(values) >= _M004_SESSION_COLUMNS or not _is_json(columns[json_column]):
            continue
        facts = json.loads(columns[json_column])
        if isinstance(facts, dict) and key in facts:
            columns[own_column] = facts.pop(key)
            columns[json_column] = json.dumps(facts)
    return tuple(columns)


def _ascending(rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """The most rows of a page whose keys ascend, as all keys of a sound page do: a changed key is out of its order."""
    keys = [row[:3] for row in rows]
    if all(a < b for a, b in zip(keys, keys[1:], strict=False)):
        return rows
    ends: list[tuple[Any, ...]] = []  # the least last key of an ascending chain of each length
    chain_ends: list[int] = []
    before: list[int | None] = []
    for number, key in enumerate(keys):
        length = bisect_left(ends, key)
        before.append(chain_ends[length - 1] if length else None)
        if length == len(ends):
            ends.append(key)
            chain_ends.append(number)
        else:
            ends[length], chain_ends[length] = key, number
    chain: list[tuple[Any, ...]] = []
    number_: int | None = chain_ends[-1]
    while number_ is not None:
        chain.append(rows[number_])
        number_ = before[number_]
    return chain[::-1]
