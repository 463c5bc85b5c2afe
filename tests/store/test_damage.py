"""A damaged file never gives a wrong figure: a flipped bit or a cut is refused in words, or changes nothing."""

import json
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
from tests.sampling.material import ANSWER, invoke, query, write_data, write_script
from tests.store.material import shell

PROBLEMS = 20
FLIPS = 600


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both arms, closed, so that everything is in the one file."""
    folder = tmp_path_factory.mktemp("sound")
    write_data(folder / "data.json", PROBLEMS)
    write_script(folder / "script.json", ANSWER, " 3", " so many words" * 8)
    for arm in (["sample-temp", "-t", 1], ["sample-perturb", "--sigma", 0.01]):
        assert invoke(*arm, *sampling(folder), "--samples", 12, "--db", folder / "sound.db").code == 0
    return folder / "sound.db"


def sampling(folder: Path) -> list[object]:
    """What the sampling commands are told but for arm, samples and database."""
    words = ["--engine", "scripted", "--model", folder / "script.json", "--data", folder / "data.json"]
    return [*words, "--problems", f"0:{PROBLEMS}", "--max-tokens", 12]


def figures(path: Path) -> str:
    return as_json(load_results(path))


def flipped(sound: Path, path: Path, bits: list[int]) -> Path:
    blob = bytearray(sound.read_bytes())
    for bit in bits:
        blob[bit // 8] ^= 1 << bit % 8
    path.write_bytes(blob)
    return path


def bits_of(path: Path, table: str) -> Iterator[int]:
    """Bits of the pages that hold a table."""
    with sqlite3.connect(path) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        pages = connection.execute("SELECT pageno FROM dbstat WHERE name = ?", (table,)).fetchall()
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


@pytest.mark.parametrize("table", ["rollout", "problem"])
def test_no_flipped_bit_of_what_figures_are_made_of_changes_one(sound: Path, tmp_path: Path, table: str) -> None:
    """Verdicts, and problems: from their inputs comes the curve of guessing, from their classes every stratum."""
    try:
        candidates = list(bits_of(sound, table))
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no dbstat to tell where a table lies")
    rng, expected = random.Random(1), figures(sound)
    refused = sum(
        compare(sound, flipped(sound, tmp_path / "f.db", [bit]), expected) for bit in rng.sample(candidates, FLIPS)
    )
    assert refused > FLIPS // 20


def commands(path: Path, folder: Path) -> dict[str, list[object]]:
    """Every command that reads problems for a figure, for a verdict, for people or for another file."""
    db = ["--db", path]
    return {
        "passk": ["passk", *db],
        "report": ["report", *db],
        "compare": ["compare", "T=1", "sigma=0.01", *db],
        "show": ["show", *db, "--problem", 3, "--limit", 2],
        "show a page": ["show", *db, "--limit", 2],
        "rescore": ["rescore", *db, "--scorer", "strict"],
        "rescore --write": ["rescore", *db, "--scorer", "strict", "--write"],
        "export": ["export", *db, "--output", folder / "rollouts.jsonl"],
        "merge": ["merge", path, "--into", folder / "into.db"],
    }


FLIPPED_INPUTS = "UPDATE problem SET inputs = replace(inputs, '[1, 2, 3]', '[1, 2, 7]') WHERE problem_index = 3"
CHANGES = {
    "inputs": FLIPPED_INPUTS,
    "group": "UPDATE problem SET problem_group = '7 numbers' WHERE problem_index = 3",
    "index": "UPDATE problem SET problem_index = 67 WHERE problem_index = 3",
    "prompt": "UPDATE problem SET prompt = replace(prompt, '[1, 2, 3]', '[1, 2, 7]') WHERE problem_index = 3",
    "task": "UPDATE problem SET task = 'countdowN' WHERE problem_index = 3",
    "unreadable": "UPDATE problem SET inputs = substr(inputs, 2) WHERE problem_index = 3",
}


@pytest.mark.parametrize("command", commands(Path(), Path()))
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_problem_ends_every_command_that_reads_it(
    sound: Path, tmp_path: Path, change: str, command: str
) -> None:
    path = Path(shutil.copy(sound, tmp_path / "changed.db"))
    shell(path, CHANGES[change])
    assert_refused(command, path, tmp_path)


def assert_refused(command: str, path: Path, folder: Path) -> None:
    """It ends in one line that says what is wrong, prints nothing else, and leaves nothing behind."""
    done = invoke(*commands(path, folder)[command])
    assert (done.code, done.stdout) == (1, ""), done
    assert "is damaged (problem " in done.stderr
    assert "(id 4) does not match its checksum" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "into.db").exists() and not (folder / "rollouts.jsonl").exists()


@pytest.mark.parametrize(
    ("written", "bit"),
    [
        pytest.param(b'[1, 2, 3], "target"', 1 * 8, id="numbers"),
        pytest.param(b'98", "context"', 0, id="target"),
        pytest.param(b"3 numbers{", 0, id="group"),
        pytest.param(b"3 numbers{", -8 + 6, id="index"),
        pytest.param(b"Using the numbers [1, 2, 3]", 19 * 8, id="prompt"),
    ],
)
def test_one_flipped_bit_of_a_problem_ends_every_command(sound: Path, tmp_path: Path, written: bytes, bit: int) -> None:
    """A digit stays a digit and the index, a byte before the class, becomes 67, so everything can still be read."""
    blob = sound.read_bytes()
    row = blob.index(b'3 numbers{"numbers": [1, 2, 3], "target": "98"')
    path = flipped(sound, tmp_path / "flipped.db", [blob.index(written, row) * 8 + bit])
    for command in commands(path, tmp_path):
        assert_refused(command, path, tmp_path)
    done = invoke("verify", "--db", path)
    assert done.code == 1
    assert "(id 4) does not match its checksum" in done.stdout


@pytest.mark.parametrize("change", CHANGES)
def test_verify_names_a_changed_problem_and_no_other(sound: Path, tmp_path: Path, change: str) -> None:
    path = Path(shutil.copy(sound, tmp_path / "changed.db"))
    shell(path, CHANGES[change])
    answers = json.loads(invoke("verify", "--db", path, "--format", "json").stdout)["answers"]
    found = {answer["question"]: answer["found"] for answer in answers}["problems"]
    index = 67 if change == "index" else 3
    assert [line for line in found if "checksum" in line] == [f"problem {index} (id 4) does not match its checksum"]


def test_sampling_goes_on_from_no_changed_problem(sound: Path, tmp_path: Path) -> None:
    """It would ask for the problem that its index now names as for a new one, and count both."""
    path, words = Path(shutil.copy(sound, tmp_path / "changed.db")), sampling(sound.parent)
    shell(path, CHANGES["index"])
    done = invoke("sample-temp", "-t", 1, *words, "--samples", 13, "--db", path)
    assert done.code == 1
    assert "(id 4) does not match its checksum" in done.stderr


def test_a_problem_without_a_checksum_is_not_held_against_anything(sound: Path, tmp_path: Path) -> None:
    """As in a file from before: what nobody recorded cannot be missed, and merging vouches for nothing."""
    path, into = Path(shutil.copy(sound, tmp_path / "older.db")), tmp_path / "into.db"
    shell(path, "UPDATE problem SET checksum = NULL", FLIPPED_INPUTS)
    assert invoke("passk", "--db", path).code == 0
    assert invoke("merge", path, "--into", into).code == 0
    assert query(into, "SELECT count(*), count(checksum) FROM problem") == [(PROBLEMS, 0)]


def test_a_merged_problem_keeps_its_checksum(sound: Path, tmp_path: Path) -> None:
    into = tmp_path / "into.db"
    assert invoke("merge", sound, "--into", into).code == 0
    kept = "SELECT problem_index, checksum FROM problem WHERE checksum IS NOT NULL ORDER BY 1"
    assert query(into, kept) == query(sound, kept)
    assert len(query(into, kept)) == PROBLEMS
    shell(into, FLIPPED_INPUTS)
    assert_refused("passk", into, tmp_path / "nowhere")
    again = invoke("merge", sound, "--into", into)
    assert (again.code, again.stdout) == (1, "")
    assert "does not match its checksum" in again.stderr


def test_an_imported_problem_is_held_against_its_checksum(tmp_path: Path) -> None:
    made, path = tmp_path / "made.jsonl", tmp_path / "theirs.db"
    made.write_text(json.dumps({"problem": 3, "completion": "x", "correct": True}))
    assert invoke("import", made, "--label", "theirs", "--db", path).code == 0
    shell(path, "UPDATE problem SET problem_group = 'alm'")
    done = invoke("passk", "--db", path)
    assert (done.code, done.stdout) == (1, "")
    assert "problem 3 (id 1) does not match its checksum" in done.stderr


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
        with pytest.raises(StoreError, match="is damaged .the rollouts of condition 2 do not match"):
            store.correctness(2)
    for command in ("passk", "report"):
        done = invoke(command, "--db", path)
        assert (done.code, done.stdout) == (1, "")
        assert "is damaged" in done.stderr


TOKENS = {
    "a count": ("DROP TRIGGER rollout_changed", "UPDATE rollout SET token_count = 99999 WHERE completion_id = 30"),
    "the sum": ("UPDATE totals SET tokens = tokens + 1 WHERE condition_id = 2",),
}


@pytest.mark.parametrize("command", [name for name in commands(Path(), Path()) if not name.startswith("show")])
@pytest.mark.parametrize("change", TOKENS)
def test_changed_tokens_end_every_command_that_tells_figures(
    sound: Path, tmp_path: Path, change: str, command: str
) -> None:
    path = Path(shutil.copy(sound, tmp_path / "changed.db"))
    shell(path, *TOKENS[change])
    done = invoke(*commands(path, tmp_path)[command])
    assert (done.code, done.stdout) == (1, ""), done
    assert "do not match their recorded totals" in done.stderr
    assert not (tmp_path / "into.db").exists() and not (tmp_path / "rollouts.jsonl").exists()


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


OTHER_KEY = """inputs = replace(inputs, '{"numbers"', '{"oumbers"')"""
NO_JSON = """inputs = replace(inputs, '{"numbers"', '["numbers"')"""
NO_TARGET = """inputs = replace(inputs, '"target": "2', '"target": "r')"""
OTHER_PROMPT_KEY = """prompt = replace(prompt, '"messages"', '"lessages"')"""
NO_PROMPT = """prompt = replace(prompt, '{"messages"', '["messages"')"""


@pytest.mark.parametrize(
    ("change", "commands"),
    [
        *((change, ("passk", "report", "rescore", "compare null 1")) for change in (OTHER_KEY, NO_JSON, NO_TARGET)),
        *((change, ("show",)) for change in (NO_JSON, OTHER_PROMPT_KEY, NO_PROMPT, "inputs = '[]'")),
        ("task = 'countdowo'", ("rescore",)),
    ],
)
def test_a_problem_that_cannot_be_asked_any_more_is_said_in_a_line(
    tmp_path: Path, change: str, commands: tuple[str, ...]
) -> None:
    """In a file from before problems had checksums: nothing but their form tells."""
    path = Path(shutil.copy(Path(__file__).parent.parent / "data" / "schema-m002.db", tmp_path / "old.db"))
    shell(path, f"UPDATE problem SET {change}")
    for command in commands:
        scorer = ["--scorer", "strict"] if command == "rescore" else []
        done = invoke(*command.split(), *scorer, "--db", path)
        assert (done.code, done.stdout, done.stderr.count("\n")) == (1, "", 1), command
        assert "old.db is damaged (" in done.stderr
    found = invoke("verify", "--db", path)
    assert found.code == 1 and "is damaged" in found.stderr


def test_no_cut_changes_a_figure(sound: Path, tmp_path: Path) -> None:
    expected, size = figures(sound), sound.stat().st_size
    rng = random.Random(2)
    for length in [*rng.sample(range(1, size), 60), *range(4096, size, 4096)]:
        path = tmp_path / "cut.db"
        path.write_bytes(sound.read_bytes()[:length])
        assert compare(sound, path, expected), f"{length:,} of {size:,} bytes were taken for the whole file"


@pytest.mark.parametrize("write", [[], ["--write"]], ids=["compare", "write"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE totals SET checksum = checksum + 1 WHERE condition_id = 2",
        "UPDATE totals SET rollouts = rollouts - 1",
        "UPDATE totals SET tokens = tokens + 1",
        "UPDATE completion SET text = text || '.' WHERE id = 30",
        "DELETE FROM completion WHERE id = 30",
    ],
)
def test_no_new_verdict_is_given_in_a_damaged_file(sound: Path, tmp_path: Path, change: str, write: list[str]) -> None:
    """Storing it would bring the recorded sums up to date with the damage."""
    path = tmp_path / "damaged.db"
    shutil.copy(sound, path)
    shell(path, change)
    kept = "SELECT * FROM rollout", "SELECT * FROM totals", "SELECT * FROM session"
    before = [query(path, table) for table in kept]
    done = invoke("rescore", "--scorer", "strict", *write, "--db", path)
    assert (done.code, done.stdout) == (1, "") and "is damaged" in done.stderr
    assert [query(path, table) for table in kept] == before
    assert invoke("verify", "--db", path).code == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE totals SET checksum = checksum + 1 WHERE condition_id = 2",
        "UPDATE totals SET rollouts = rollouts - 1",
        "UPDATE totals SET tokens = tokens + 1",
    ],
)
def test_nothing_is_added_to_a_damaged_condition(sound: Path, tmp_path: Path, change: str) -> None:
    path = tmp_path / "damaged.db"
    shutil.copy(sound, path)
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    before = query(path, "SELECT count(*) FROM rollout")
    done = invoke("sample-temp", "-t", 1, *sampling(sound.parent), "--samples", 24, "--db", path)
    assert done.code == 1 and "is damaged" in done.stderr
    assert query(path, "SELECT count(*) FROM rollout") == before
