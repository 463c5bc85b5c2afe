"""Browsing finds what plain SQL finds, page by page, and by the key alone."""

import sqlite3
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esprobe.store import RolloutWriter
from esprobe.store.browse import RolloutBrowser
from esprobe.store.filters import RolloutFilter, keys_of
from tests.store.material import GREEDY, NOISY, WARM, begin, problems, rollout


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three conditions over ten problems of two data sets with the same indices; some rollouts are missing."""
    path = tmp_path_factory.mktemp("browsed") / "rollouts.db"
    chance = Random(1)
    with RolloutWriter.open(path) as writer:
        conditions = [writer.register_condition(condition) for condition in (GREEDY, WARM, NOISY)]
        by_digest = [writer.register_problems("countdown", digest, problems(*range(5))) for digest in "ab"]
        ids = [id_ for by_index in by_digest for id_ in by_index.values()]
        session = begin(writer, *conditions)
        for condition in conditions:
            drawn = [(id_, seed) for id_ in ids for seed in range(40, 48) if chance.random() < 0.7]
            batch = [rollout(condition, *key, f"text {key}", correct=chance.random() < 0.2) for key in drawn]
            writer.add(session, batch, {})
    return path


def plain_sql(path: Path, selection: RolloutFilter) -> list[tuple[int, int, int, str]]:
    with sqlite3.connect(path) as connection:
        everything = connection.execute(
            "SELECT condition_id, seed, problem_index, text, correct FROM rollout "
            "JOIN problem ON problem.id = problem_id JOIN completion ON completion.id = completion_id "
            "ORDER BY condition_id, seed, problem_id"
        ).fetchall()
    connection.close()
    return [
        (condition, seed, problem, text)
        for wanted in selection.condition_ids
        for condition, seed, problem, text, correct in everything
        if condition == wanted
        and selection.problem in (None, problem)
        and selection.seed in (None, seed)
        and selection.correct in (None, bool(correct))
    ]


def browsed(
    store: RolloutBrowser, selection: RolloutFilter, limit: int, offset: int
) -> list[tuple[int, int, int, str]]:
    found = store.browse(selection, limit, offset)
    return [(one.condition_id, one.rollout.seed, one.rollout.problem, one.rollout.completion) for one in found]


selections = st.builds(
    RolloutFilter,
    condition_ids=st.lists(st.integers(1, 4), unique=True, max_size=4),
    problem=st.none() | st.integers(0, 6),
    seed=st.none() | st.integers(38, 50),
    correct=st.none() | st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(selections, st.integers(1, 300), st.integers(0, 300))
def test_any_page_of_any_selection_is_what_plain_sql_finds(
    path: Path, selection: RolloutFilter, limit: int, offset: int
) -> None:
    with RolloutBrowser.open(path) as store:
        assert browsed(store, selection, limit, offset) == plain_sql(path, selection)[offset : offset + limit]


def test_a_problem_is_found_without_reading_the_others(path: Path) -> None:
    """One look-up a seed: the query may not scan the table, however the file grows."""
    with RolloutBrowser.open(path) as store, store._database.transaction() as connection:
        keys, values = keys_of(connection, RolloutFilter([2], problem=3), 2)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {keys}", values)]
    assert "SEARCH rollout USING PRIMARY KEY (condition_id=? AND seed=? AND problem_id=?)" in plan, plan
    assert not [step for step in plan if step.startswith("SCAN rollout")], plan


def test_rollouts_of_a_problem_are_read_without_the_others(path: Path) -> None:
    """Counted in steps of SQLite's machine, on a problem of one of 50 times as many others."""
    many = path.with_name("many.db")
    with RolloutWriter.open(many) as writer:
        condition = writer.register_condition(WARM)
        ids = writer.register_problems("countdown", "t", problems(*range(500)))
        session = begin(writer, condition)
        writer.add(session, [rollout(condition, id_, seed) for id_ in ids.values() for seed in range(40, 48)], {})

    def steps(problem: int | None) -> tuple[int, int]:
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            ticks += 1

        with RolloutBrowser.open(many) as store, store.snapshot(), store.reading() as connection:
            connection.set_progress_handler(tick, 10)
            found = list(store.rollouts(condition, problem))
            return len(found), ticks

    (all_rows, all_ticks), (rows, ticks) = steps(None), steps(7)
    assert (all_rows, rows) == (4000, 8)
    problems_alone = 500 * 2  # every problem is compared with its checksum
    assert ticks - problems_alone < all_ticks / 10
