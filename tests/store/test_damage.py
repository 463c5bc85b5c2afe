"""A damaged file never gives a wrong figure: a flipped bit or a cut is refused in words, or changes nothing."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from esprobe.analysis import load_results
from esprobe.errors import StoreError
from esprobe.report.passk_json import as_json
from esprobe.store import RolloutStore
from tests.sampling.material import ANSWER, invoke, write_data, write_script
from tests.store.material import shell

PROBLEMS = 20
FLIPS = 600


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both arms, closed, so that everything is in the one file."""
    folder = tmp_path_factory.mktemp("sound")
    data = write_data(folder / "data.json", PROBLEMS)
    script = write_script(folder / "script.json", ANSWER, " 3", " so many words" * 8)
    common = ["--engine", "scripted", "--model", script, "--data", data, "--problems", f"0:{PROBLEMS}"]
    common += ["--max-tokens", 12, "--samples", 12, "--db", folder / "sound.db"]
    for arm in (["sample-temp", "-t", 1], ["sample-perturb", "--sigma", 0.01]):
        assert invoke(*arm, *common).code == 0
    return folder / "sound.db"


def figures(path: Path) -> str:
    return as_json(load_results(path))


def flipped(sound: Path, path: Path, bits: list[int]) -> Path:
    blob = bytearray(sound.read_bytes())
    for bit in bits:
        blob[bit // 8] ^= 1 << bit % 8
    path.write_bytes(blob)
    return path


def bits_of_verdicts(path: Path) -> Iterator[int]:
    """Bits of the pages that hold the table of rollouts: what the statistics scan."""
    with sqlite3.connect(path) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        pages = connection.execute("SELECT pageno FROM dbstat WHERE name = 'rollout'").fetchall()
    connection.close()
    for (page,) in pages:
        yield from range((page - 1) * size * 8, page * size * 8)


def compare(sound: Path, damaged: Path, expected: str) -> bool:
    """Whether the damaged file was refused; that it shows other figures, or any other exception, is a failure."""
    try:
        shown = figures(damaged)
    except StoreError:
        return True
    assert shown == expected
    return False


@pytest.mark.parametrize("seed", range(3))
def test_no_flipped_bit_anywhere_changes_a_figure(sound: Path, tmp_path: Path, seed: int) -> None:
    rng, expected = random.Random(seed), figures(sound)
    bits = rng.sample(range(sound.stat().st_size * 8), FLIPS // 6)
    refused = sum(compare(sound, flipped(sound, tmp_path / "f.db", [bit]), expected) for bit in bits)
    assert refused > 0


def test_no_flipped_bit_of_a_verdict_changes_a_figure(sound: Path, tmp_path: Path) -> None:
    try:
        candidates = list(bits_of_verdicts(sound))
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no dbstat to tell where a table lies")
    rng, expected = random.Random(1), figures(sound)
    refused = sum(
        compare(sound, flipped(sound, tmp_path / "f.db", [bit]), expected) for bit in rng.sample(candidates, FLIPS)
    )
    assert refused > FLIPS // 20


def test_a_swapped_verdict_is_seen_though_every_sum_is_right(sound: Path, tmp_path: Path) -> None:
    """The same number of correct rollouts, tokens and cut-offs, elsewhere; beneath the triggers, as damage is."""
    path = Path(shutil.copy(sound, tmp_path / "swapped.db"))
    before = RolloutStore.open(path).totals(2)
    rows = "SELECT seed, problem_id FROM rollout WHERE condition_id = 2 AND correct = {} LIMIT 1"
    with sqlite3.connect(path) as connection:
        (right,), (wrong,) = (connection.execute(rows.format(verdict)).fetchall() for verdict in (1, 0))
    connection.close()
    change = "UPDATE rollout SET correct = 1 - correct WHERE condition_id = 2 AND (seed, problem_id) IN (VALUES {}, {})"
    shell(path, "DROP TRIGGER rollout_changed", change.format(right, wrong))
    with RolloutStore.open(path) as store:
        assert store.totals(2) == before
        with pytest.raises(StoreError, match="is damaged .the verdicts of condition 2 are not those recorded"):
            store.correctness(2)
    for command in ("passk", "report"):
        done = invoke(command, "--db", path)
        assert (done.code, done.stdout) == (1, "")
        assert "is damaged" in done.stderr


def test_a_change_through_sql_is_no_damage(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path / "edited.db"))
    shell(
        path,
        "UPDATE rollout SET correct = 1 - correct WHERE condition_id = 2 AND seed = 43",
        "UPDATE rollout SET token_count = token_count + 1, finish_reason = 'length' WHERE seed = 44",
        "DELETE FROM rollout WHERE condition_id = 3 AND seed = 45",
        "UPDATE rollout SET seed = 1000 WHERE condition_id = 3 AND seed = 46",
    )
    scanned = (
        "SELECT count(*), sum(correct), sum(token_count), sum(finish_reason = 'length') FROM rollout "
        "WHERE condition_id = ?"
    )
    with RolloutStore.open(path) as store, sqlite3.connect(path) as connection:
        for condition in (1, 2, 3):
            kept = store.totals(condition)
            assert (kept.rollouts, kept.correct, kept.tokens, kept.cut_off) == connection.execute(
                scanned, (condition,)
            ).fetchone()
            assert store.correctness(condition).stored.sum() == kept.rollouts
        assert 1000 in store.correctness(3).seeds
    connection.close()


def test_no_cut_changes_a_figure(sound: Path, tmp_path: Path) -> None:
    expected, size = figures(sound), sound.stat().st_size
    rng = random.Random(2)
    for length in [*rng.sample(range(1, size), 60), *range(4096, size, 4096)]:
        path = tmp_path / "cut.db"
        path.write_bytes(sound.read_bytes()[:length])
        assert compare(sound, path, expected), f"{length:,} of {size:,} bytes were taken for the whole file"
