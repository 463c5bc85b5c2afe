"""The size of a database, foretold from SQLite's file format, against real files."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from esprobe.records import Extent
from esprobe.sampling.estimate import TEXT_SPREAD
from esprobe.store import RolloutWriter
from esprobe.store.layout import PAGE_BYTES, bytes_per_rollout, page_bytes
from tests.sampling.material import query
from tests.store.material import WARM, problems, rollout

PROBLEMS = 100
LENGTHS: dict[str, Callable[[random.Random, int], int]] = {
    "fixed": lambda _, mean: mean,
    "uniform": lambda rng, mean: rng.randint(0, 2 * mean),
    "exponential": lambda rng, mean: round(rng.expovariate(1 / mean)),
}


def write(path: Path, lengths: list[int]) -> None:
    with RolloutWriter.open(path) as writer:
        condition = writer.register_condition(WARM)
        ids = list(writer.register_problems("countdown", "t", problems(*range(PROBLEMS))).values())
        extent = Extent(0, PROBLEMS, 42, -(-len(lengths) // PROBLEMS), PROBLEMS)
        session = writer.begin_session("esprobe sample-temp", "s", {condition: extent}, {}, {}, {})
        rows = [
            rollout(condition, ids[n % PROBLEMS], 42 + n // PROBLEMS, "x" * length, correct=n % 7 == 0, tokens=300)
            for n, length in enumerate(lengths)
        ]
        for start in range(0, len(rows), 256):
            writer.add(session, rows[start : start + 256], {})


def older(path: Path, page: int) -> None:
    """An empty database that has its page size already."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page}")
        connection.execute("VACUUM")


@pytest.mark.parametrize("page", [PAGE_BYTES, 4096])
@pytest.mark.parametrize("mean", [100, 1000, 2162, 4000])
@pytest.mark.parametrize("form", LENGTHS)
def test_sizes_are_foretold(tmp_path: Path, form: str, mean: int, page: int) -> None:
    path, empty, rng = tmp_path / "e.db", tmp_path / "empty.db", random.Random(1)
    lengths = [LENGTHS[form](rng, mean) for _ in range(4_000_000 // (mean + 60))]
    for database, written in ((empty, []), (path, lengths)):
        older(database, page)
        write(database, written)
        assert page_bytes(database) == page
    foretold = empty.stat().st_size + len(lengths) * bytes_per_rollout(lengths[:100], page)
    assert foretold == pytest.approx(path.stat().st_size, rel=0.1)


@pytest.mark.parametrize("mean", [100, 500, 1000, 1500, 2162, 3000, 3300, 4000])
@pytest.mark.parametrize("form", LENGTHS)
def test_a_mean_alone_foretells_new_databases(form: str, mean: int) -> None:
    rng = random.Random(2)
    exact = bytes_per_rollout([LENGTHS[form](rng, mean) for _ in range(4000)], PAGE_BYTES)
    assumed = [max(1, round(rng.gauss(mean, TEXT_SPREAD * mean))) for _ in range(4000)]
    assert bytes_per_rollout(assumed, PAGE_BYTES) == pytest.approx(exact, rel=0.1)


def test_texts_longer_than_a_page_are_foretold(tmp_path: Path) -> None:
    for name, lengths in (("empty.db", []), ("e.db", [100_000] * 40)):
        write(tmp_path / name, lengths)
    foretold = (tmp_path / "empty.db").stat().st_size + 40 * bytes_per_rollout([100_000], PAGE_BYTES)
    assert foretold == pytest.approx((tmp_path / "e.db").stat().st_size, rel=0.1)


def test_new_databases_have_large_pages_and_old_ones_keep_theirs(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    assert page_bytes(new) == PAGE_BYTES
    new.touch()
    assert page_bytes(new) == PAGE_BYTES
    older(old, 4096)
    for path, page in ((new, PAGE_BYTES), (old, 4096)):
        for _ in range(2):  # made, and opened again
            write(path, [])
            assert query(path, "PRAGMA page_size") == [(page,)]
            assert page_bytes(path) == page
