"""Files of every schema there has been stay readable and writable; files from the future are refused."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from esprobe.errors import StoreError
from esprobe.spec import digest_of
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.store.browse import RolloutBrowser
from esprobe.store.filters import RolloutFilter
from esprobe.store.merging import merge
from esprobe.store.migrations import MIGRATIONS
from esprobe.store.session_verdicts import VerdictReader
from esprobe.store.training import training_runs
from tests.sampling.material import invoke, query
from tests.store.material import problems, rollout, shell

DATA = Path(__file__).parent.parent / "data"
FROZEN = sorted(path.name for path in DATA.glob("schema-m*.db"))

either = pytest.mark.parametrize("access", [RolloutStore, RolloutWriter])


@pytest.fixture(params=FROZEN)
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copy(DATA / request.param, tmp_path))


def test_every_schema_has_a_frozen_file_that_is_whole_by_itself() -> None:
    schemas = [name.partition("_")[0] for name in MIGRATIONS]
    assert [name.removeprefix("schema-").removesuffix(".db") for name in FROZEN] == schemas
    assert not list(DATA.glob("*-wal"))


@either
def test_a_frozen_file_still_says_what_was_written(frozen: Path, access: type[RolloutStore]) -> None:
    with access.open(frozen) as store:
        warm, noisy = store.conditions()
        assert (warm.condition.label, noisy.condition.label) == ("T=0.8", "sigma=0.005")
        # A digest that changes would make every stored condition a new one, and draw everything again.
        assert warm.condition.digest == "v1:980a269916cb19d109a69e7432e1f98b8a9ba0d348bba92d36ab8c837d5600e2"
        assert noisy.condition.digest == "v1:1c9086ae3db5835cf85e732ac836ef5e793c64268c24d4558b1d611fa7930e1e"
        matrix = store.correctness(noisy.id)
        assert matrix.problems.tolist() == [200, 201, 202]
        assert matrix.seeds.tolist() == [42, 43, 44, 45]
        assert matrix.correct.tolist() == [[(i + s + 2) % 3 == 0 for s in range(42, 46)] for i in (200, 201, 202)]
        assert matrix.stored.all()
        first, *rest = store.rollouts(warm.id, 201)
        assert first.completion == "problem 201, seed 42 \u2713\n<answer> 201 * (2 - 1) </answer>"
        assert (first.reward, first.answer, first.failure, first.token_count) == (0.1, None, "wrong value", 42)
        assert [drawn.seed for drawn in rest] == [43, 44, 45]
        (session,) = store.sessions()
        assert (session.outcome, session.rollouts, session.scorer) == ("done", 24, "es-paper/1")


def test_a_frozen_file_can_be_added_to(frozen: Path) -> None:
    with RolloutWriter.open(frozen) as writer:
        assert writer.owed(1, [1, 2, 3], 42, 5) == [(1, 46), (2, 46), (3, 46)]
        assert writer.add(1, [rollout(1, 2, 46)], {}) == 1
    with RolloutStore.open(frozen) as store:
        assert store.totals(1).rollouts == 13


def test_a_problem_has_a_checksum_from_when_it_was_written_or_none(frozen: Path) -> None:
    """An older file's problems get none when it is brought up to date: nobody knows what they were."""
    had_one = frozen.name not in ("schema-m001.db", "schema-m002.db")
    checksums = "SELECT checksum IS NOT NULL FROM problem ORDER BY id"
    with RolloutWriter.open(frozen) as writer:
        assert [bool(has) for (has,) in query(frozen, checksums)] == [had_one] * 3
        ids = writer.register_problems("countdown", "a-task-digest", problems(202, 203))
        assert ids == {200: 1, 201: 2, 202: 3, 203: 4}
        assert [bool(has) for (has,) in query(frozen, checksums)] == [had_one] * 3 + [True]
    assert query(frozen, "SELECT name FROM migration ORDER BY name") == [(name,) for name in MIGRATIONS]
    shell(frozen, "UPDATE problem SET inputs = replace(inputs, '200', '204') WHERE id = 1")
    with RolloutStore.open(frozen) as store:
        if had_one:
            with pytest.raises(StoreError, match=r"is damaged \(problem 200 \(id 1\) does not match its checksum"):
                store.correctness(1)
        else:
            assert store.correctness(1).stored.all()
    shell(frozen, "UPDATE problem SET problem_group = '5 numbers' WHERE id = 4")
    with VerdictReader.open(frozen) as store, pytest.raises(StoreError, match="does not match its checksum"):
        store.task_problems()


def test_a_frozen_file_is_read_as_it_is_by_whoever_reads_problems(frozen: Path, tmp_path: Path) -> None:
    before = frozen.read_bytes()
    with VerdictReader.open(frozen) as store:
        assert [given.problem.index for given in store.task_problems().values()] == [200, 201, 202]
    with RolloutBrowser.open(frozen) as browser:
        (shown,) = browser.browse(RolloutFilter([1], problem=201, seed=43), limit=2)
        assert shown.inputs == {"numbers": [1, 2, 201], "target": "201"}
    merge([frozen], tmp_path / "merged.db")
    kept = "SELECT checksum FROM problem ORDER BY id"
    has_column = "SELECT count(*) FROM pragma_table_info('problem') WHERE name = 'checksum'"
    expected = query(frozen, kept) if query(frozen, has_column) == [(1,)] else [(None,)] * 3
    assert query(tmp_path / "merged.db", kept) == expected
    assert frozen.read_bytes() == before


@either
def test_a_file_from_a_newer_esprobe_asks_for_an_update(frozen: Path, access: type[RolloutStore]) -> None:
    shell(frozen, "INSERT INTO migration VALUES ('m999_from_the_future', '2030-01-01')")
    with pytest.raises(StoreError, match=r"newer esprobe.*m999_from_the_future.*git pull"):
        access.open(frozen)


@either
def test_a_condition_of_a_newer_esprobe_asks_for_an_update(frozen: Path, access: type[RolloutStore]) -> None:
    shell(frozen, "UPDATE condition SET identity = json_set(identity, '$.warmth', 3) WHERE id = 2")
    with access.open(frozen) as store, pytest.raises(StoreError, match=r"newer esprobe.*condition 2.*warmth.*git pull"):
        store.conditions()


READERS = ["salvage", "verify", "status", "report", "passk", "backup", "merge", "train"]


def reading(command: str, path: Path, folder: Path) -> list[object]:
    new = folder / "new.db"
    special: dict[str, list[object]] = {
        "salvage": ["salvage", path, "--into", new],
        "backup": ["backup", new, "--db", path],
        "merge": ["merge", path, "--into", new],
        "train": ["save-model", folder / "model", "--model", f"{path}:1"],
    }
    return special.get(command, [command, "--db", path])


@pytest.mark.parametrize("command", READERS)
def test_every_reader_takes_the_recipe_of_the_newest_frozen_file(tmp_path: Path, command: str) -> None:
    path = Path(shutil.copy(DATA / FROZEN[-1], tmp_path / "x.db"))
    done = invoke(*reading(command, path, tmp_path))  # any exception but an error in words surfaces here
    assert done.code in (0, 1, 2) and "recipe" not in done.stderr


@pytest.mark.parametrize("lacking", ["scorer", "population", "base.dtype"])
@pytest.mark.parametrize("command", READERS)
def test_a_recipe_that_lacks_a_key_is_damage_to_every_reader_of_it(tmp_path: Path, command: str, lacking: str) -> None:
    path = Path(shutil.copy(DATA / FROZEN[-1], tmp_path / "x.db"))
    with RolloutStore.open(path) as store:
        recipe = dict(training_runs(store)[0].recipe)
    outer, _, inner = lacking.partition(".")
    if inner:
        recipe["base"] = {key: value for key, value in recipe["base"].items() if key != inner}
    else:
        del recipe[outer]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE training SET recipe = ?, digest = ?", (json.dumps(recipe), digest_of(recipe)))
    connection.close()
    done = invoke(*reading(command, path, tmp_path))
    told = f"the recipe of training run 1 lacks {inner or outer}" in done.stdout + done.stderr
    if command == "salvage":  # it leaves the run out, as any other row that is not whole
        assert (done.code, told) == (0, False), done
        assert query(tmp_path / "new.db", "SELECT count(*) FROM training") == [(0,)]
    else:
        assert (done.code, told) == (1, True), done
