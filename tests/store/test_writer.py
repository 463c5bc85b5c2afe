"""Rollouts are stored once, whole or not at all, and what is owed is planned minus stored."""

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from sqlite3 import IntegrityError, OperationalError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esprobe.errors import RolloutConflictError
from esprobe.records import Extent, Totals
from esprobe.store import NewRollout, RolloutStore, RolloutWriter
from esprobe.store.database import LOG_BYTES
from esprobe.store.writer import EngineTime
from tests.store.material import GREEDY, NOISY, WARM, begin, problems, rollout

PROBLEMS = 6
FIRST_SEED = 42


class Bench:
    """An open database with one condition, its problems and a session."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = RolloutWriter.open(path)
        self.condition = self.writer.register_condition(WARM)
        # Sampled in another order than stored in, as --problems of a second run may be.
        self.ids = list(self.writer.register_problems("countdown", "t", problems(*range(PROBLEMS))).values())[::-1]
        self.session = begin(self.writer, self.condition)
        self.fresh = itertools.count(1)

    def add(self, *rollouts: NewRollout, costs: dict[int, EngineTime] | None = None) -> int:
        return self.writer.add(self.session, rollouts, costs or {})

    def state(self) -> tuple[int, int, int, int]:
        """Rollouts, completions, and the counters of the session and of its work."""
        with self.writer._database.transaction() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM rollout), (SELECT count(*) FROM completion), "
                "(SELECT sum(rollouts) FROM session), (SELECT sum(rollouts) FROM work)"
            ).fetchone()
        return row[0], row[1], row[2], row[3]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "e.db")
    yield made
    made.writer.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One database for many examples, each with a condition of its own: the others' rows are there to be confused."""
    made = Bench(tmp_path_factory.mktemp("shared") / "e.db")
    yield made
    made.writer.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "a\0b",
        "'; DROP TABLE rollout; --",
        '"',
        "\U0001f984 \u00e9 e\u0301",
        "line\r\nline\n",
        "x" * 1_000_000,
    ],
    ids=["empty", "plain", "nul", "quotes", "double", "emoji", "lines", "megabyte"],
)
def test_texts_come_back_as_they_went_in(bench: Bench, text: str) -> None:
    bench.add(rollout(bench.condition, 1, FIRST_SEED, text))
    assert bench.add(rollout(bench.condition, 1, FIRST_SEED, text)) == 0
    with RolloutStore.open(bench.path) as store:
        (stored,) = store.rollouts(bench.condition)
    assert stored.completion == text


def test_a_rollout_comes_back_with_its_verdict(bench: Bench) -> None:
    bench.add(rollout(bench.condition, 4, FIRST_SEED, "right", correct=True, reward=1.1, tokens=7))
    bench.add(rollout(bench.condition, 4, FIRST_SEED + 1, "wrong", reward=0.06))
    with RolloutStore.open(bench.path) as store:
        right, wrong = store.rollouts(bench.condition, problem_index=3)
        assert list(store.rollouts(bench.condition, problem_index=4)) == []
    assert right._asdict() == {
        "problem": 3,
        "seed": FIRST_SEED,
        "completion": "right",
        "reward": 1.1,
        "correct": True,
        "answer": "1+2",
        "failure": None,
        "token_count": 7,
        "finish_reason": "stop",
    }
    assert (wrong.reward, wrong.correct, wrong.answer, wrong.failure) == (0.06, False, None, "no answer")


def test_the_same_rollouts_twice_add_nothing(bench: Bench) -> None:
    batch = [rollout(bench.condition, id_, FIRST_SEED) for id_ in bench.ids]
    assert bench.add(*batch) == PROBLEMS
    before = bench.state()
    assert bench.add(*batch) == 0
    assert bench.state() == before == (PROBLEMS, PROBLEMS, PROBLEMS, PROBLEMS)


def test_of_a_mixed_batch_only_the_new_ones_are_added(bench: Bench) -> None:
    old = [rollout(bench.condition, id_, FIRST_SEED) for id_ in bench.ids[:3]]
    new = [rollout(bench.condition, id_, FIRST_SEED, "new") for id_ in bench.ids[3:]]
    bench.add(*old)
    assert bench.add(new[0], *old, *new[1:]) == 3
    assert bench.state() == (6, 6, 6, 6)
    stored = {drawn.problem: drawn.completion for drawn in bench.writer.rollouts(bench.condition)}
    assert stored == {id_ - 1: "a text" if id_ in bench.ids[:3] else "new" for id_ in bench.ids}


@pytest.mark.parametrize(
    "other",
    [{"text": "b"}, {"correct": True}, {"reward": 0.2}, {"tokens": 4}],
    ids=["text", "verdict", "reward", "tokens"],
)
def test_another_content_under_one_key_is_a_conflict_and_stores_nothing(bench: Bench, other: dict[str, object]) -> None:
    bench.add(rollout(bench.condition, 1, FIRST_SEED, "a"))
    before = bench.state()
    batch = [
        rollout(bench.condition, 2, FIRST_SEED),
        rollout(bench.condition, 1, FIRST_SEED, **({"text": "a"} | other)),  # type: ignore[arg-type]
        rollout(bench.condition, 3, FIRST_SEED),
    ]
    with pytest.raises(RolloutConflictError, match=rf"problem 1, seed {FIRST_SEED} of condition {bench.condition} "):
        bench.add(*batch, costs={bench.condition: EngineTime(1.0)})
    assert bench.state() == before
    assert [drawn.completion for drawn in bench.writer.rollouts(bench.condition)] == ["a"]


@pytest.mark.parametrize(
    "broken",
    [{"reward": float("nan")}, {"problem_id": 999}, {"condition_id": 999}],
    ids=["reward is no number", "unknown problem", "unknown condition"],
)
def test_a_batch_with_one_impossible_rollout_leaves_nothing_behind(bench: Bench, broken: dict[str, float]) -> None:
    bench.add(rollout(bench.condition, 1, FIRST_SEED))
    before = bench.state()
    good = {"condition_id": bench.condition, "problem_id": 2, "seed": FIRST_SEED}
    with pytest.raises(IntegrityError):
        bench.add(rollout(bench.condition, 3, FIRST_SEED), rollout(**(good | broken)))  # type: ignore[arg-type]
    assert bench.state() == before
    assert bench.add(rollout(**good)) == 1  # type: ignore[arg-type]


def test_the_greatest_seed_can_be_planned_and_stored(bench: Bench) -> None:
    last = 2**63 - 1
    assert bench.writer.owed(bench.condition, bench.ids[:1], last, 1) == [(bench.ids[0], last)]
    bench.add(rollout(bench.condition, bench.ids[0], last))
    assert bench.writer.owed(bench.condition, bench.ids[:1], last - 1, 2) == [(bench.ids[0], last - 1)]
    assert bench.writer.stored_by_seed(bench.condition, bench.ids[:1], last, 1) == {last: 1}


cells = st.sets(st.tuples(st.integers(1, PROBLEMS), st.integers(40, 50)))


@settings(max_examples=60, deadline=None)
@given(stored=cells, planned=st.permutations(range(1, PROBLEMS + 1)), wanted=st.integers(1, PROBLEMS), data=st.data())
def test_owed_is_planned_minus_stored(
    shared: Bench, stored: set[tuple[int, int]], planned: list[int], wanted: int, data: st.DataObject
) -> None:
    planned = planned[:wanted]
    first, samples = data.draw(st.integers(38, 50)), data.draw(st.integers(1, 12))
    condition = shared.writer.register_condition(replace(WARM, max_tokens=next(shared.fresh)))
    shared.add(*(rollout(condition, *key) for key in stored))
    naive = [(id_, seed) for id_ in planned for seed in range(first, first + samples) if (id_, seed) not in stored]
    assert shared.writer.owed(condition, planned, first, samples) == naive
    counts = {seed: sum((id_, seed) in stored for id_ in planned) for seed in range(first, first + samples)}
    assert shared.writer.stored_by_seed(condition, planned, first, samples) == {s: n for s, n in counts.items() if n}


@settings(max_examples=60, deadline=None)
@given(verdicts=st.dictionaries(st.tuples(st.integers(1, PROBLEMS), st.integers(40, 50)), st.booleans()))
def test_matrix_and_counts_equal_naive_ones_whatever_is_missing(
    shared: Bench, verdicts: dict[tuple[int, int], bool]
) -> None:
    condition = shared.writer.register_condition(replace(NOISY, max_tokens=next(shared.fresh)))
    shared.add(*(rollout(condition, *key, correct=correct) for key, correct in verdicts.items()))
    ids = sorted({id_ for id_, _ in verdicts})
    seeds = sorted({seed for _, seed in verdicts})
    matrix = shared.writer.correctness(condition)
    assert matrix.problems.tolist() == [id_ - 1 for id_ in ids]
    assert matrix.groups == tuple(f"{(id_ - 1) % 2 + 3} numbers" for id_ in ids)
    assert matrix.seeds.tolist() == seeds
    assert matrix.stored.tolist() == [[(id_, seed) in verdicts for seed in seeds] for id_ in ids]
    assert matrix.correct.tolist() == [[verdicts.get((id_, seed), False) for seed in seeds] for id_ in ids]
    index, n, c = shared.writer.counts(condition)
    assert index.tolist() == matrix.problems.tolist()
    assert np.array_equal(n, matrix.stored.sum(1)) and np.array_equal(c, matrix.correct.sum(1))
    tokens = 3 * len(verdicts)
    assert shared.writer.totals(condition) == Totals(len(verdicts), sum(verdicts.values()), tokens, cut_off=0)


def test_costs_and_counts_add_up_over_batches(bench: Bench) -> None:
    for seed in (42, 43):
        bench.add(rollout(bench.condition, 1, seed, tokens=5), costs={bench.condition: EngineTime(1.5, 0.25)})
    bench.add(costs={bench.condition: EngineTime(0.0, 0.5)})
    with bench.writer._database.transaction() as connection:
        row = connection.execute("SELECT rollouts, tokens, generate_s, switch_s FROM work").fetchone()
    assert tuple(row) == (2, 10, 3.0, 1.0)
    (session,) = bench.writer.sessions()
    assert (session.rollouts, session.tokens, session.outcome) == (2, 10, None)


def test_conditions_and_problems_are_registered_once(bench: Bench) -> None:
    assert bench.writer.register_condition(WARM) == bench.condition
    assert bench.writer.register_condition(replace(WARM, model="moved/elsewhere")) == bench.condition
    assert bench.writer.register_condition(GREEDY) != bench.condition
    again = bench.writer.register_problems("countdown", "t", problems(0, 5, 9))
    assert {index: again[index] for index in (0, 5)} == {0: 1, 5: 6}
    assert again[9] == PROBLEMS + 1
    assert bench.writer.register_problems("countdown", "other data", problems(0))[0] not in again.values()


def test_sessions_and_extents_are_those_of_the_condition(bench: Bench) -> None:
    other = bench.writer.register_condition(NOISY)
    second = bench.writer.begin_session("again", "es-paper/1", {other: Extent(0, 5, 0, 9, 5)}, {}, {}, {})
    bench.writer.end_session(second, "stopped")
    assert [session.outcome for session in bench.writer.sessions()] == [None, "stopped"]
    assert [session.command for session in bench.writer.sessions(other)] == ["again"]
    assert bench.writer.extents(other)[-1] == Extent(0, 5, 0, 9, 5)
    assert bench.writer.extents(999) == []


def test_a_reader_may_ask_while_it_iterates(bench: Bench) -> None:
    bench.add(*(rollout(bench.condition, id_, FIRST_SEED) for id_ in bench.ids))
    with RolloutStore.open(bench.path) as store:
        for drawn in store.rollouts(bench.condition):
            assert drawn.problem in {problem.index for problem in store.verdicts(bench.condition)[1]}


def test_a_reader_cannot_write(bench: Bench) -> None:
    with RolloutStore.open(bench.path) as store, store._database.transaction() as connection:  # noqa: SIM117
        with pytest.raises(OperationalError, match="attempt to write a readonly database"):
            connection.execute("DELETE FROM work")


def test_reading_needs_no_parameter_per_problem(bench: Bench) -> None:
    """SQLite takes 32,766 parameters in its own build, 250,000 in Debian's; here it takes five."""
    bench.add(*(rollout(bench.condition, id_, FIRST_SEED) for id_ in bench.ids))
    with RolloutStore.open(bench.path) as store:
        with store.snapshot(), store.reading() as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, PROBLEMS - 1)
        assert len(store.verdicts(bench.condition)[1]) == PROBLEMS
        assert store.correctness(bench.condition).stored.sum() == PROBLEMS


def test_a_session_that_failed_before_its_first_rollout_plans_nothing(tmp_path: Path) -> None:
    with RolloutWriter.open(tmp_path / "e.db") as writer:
        condition, other = writer.register_condition(WARM), writer.register_condition(NOISY)
        ids = writer.register_problems("countdown", "t", problems(0))
        writer.end_session(begin(writer, condition), "failed")
        assert writer.extents(condition) == []
        session = begin(writer, other)
        assert writer.extents(other) == [Extent(0, 10, 42, 4, 10)]
        writer.add(session, [rollout(other, ids[0], 42)], {})
        writer.end_session(session, "failed")
        assert writer.extents(other) == [Extent(0, 10, 42, 4, 10)]


def test_the_log_stays_small_whatever_the_size_of_pages(tmp_path: Path) -> None:
    """SQLite's own limit is a number of pages: 33 MB of those of new databases."""
    path, most = tmp_path / "e.db", 0
    with RolloutWriter.open(path) as writer:
        condition = writer.register_condition(WARM)
        ids = list(writer.register_problems("countdown", "t", problems(*range(100))).values())
        session = begin(writer, condition)
        for seed in range(100):
            writer.add(session, [rollout(condition, id_, seed, "x" * 4000) for id_ in ids], {})
            most = max(most, path.with_name("e.db-wal").stat().st_size)
    assert path.stat().st_size > 40_000_000
    assert most < 1.25 * LOG_BYTES
