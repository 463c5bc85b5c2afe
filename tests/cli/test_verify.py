"""``verify`` finds what is off, names it, and ends with exit code 1; a sound file ends with 0."""

import json
import shutil
import tracemalloc
from pathlib import Path

import pytest

from esprobe.store import RolloutStore
from esprobe.store.checks import texts
from tests.sampling.material import invoke, write_data, write_script
from tests.store.material import fill, shell

RIGHT = " </think>\n<answer> 1 + 2 </answer>"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verified")
    data, script = write_data(folder / "data.json", 10), write_script(folder / "script.json", RIGHT, " two", " three")
    common = ["--engine", "scripted", "--model", script, "--data", data, "--problems", "0:10", "--samples", 6]
    assert invoke("sample-temp", *common, "-t", 1, "--db", folder / "e.db").code == 0
    return folder / "e.db"


def test_a_sound_file_has_nothing_off(sound: Path) -> None:
    for depth in ([], ["--all"], ["--sample", 0]):
        done = invoke("verify", "--db", sound, *depth)
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout.count(": ok") == 10
    assert "verdicts: ok (70 recomputed)" in invoke("verify", "--db", sound, "--all").stdout
    assert json.loads(invoke("verify", "--db", sound, "--format", "json").stdout)["off"] == 0


def test_what_cannot_be_checked_is_never_called_sound(sound: Path, tmp_path: Path) -> None:
    """An import's own verdicts are nobody's to derive, and hide no other; a file from before checksums has none."""
    path, made = Path(shutil.copy(sound, tmp_path / "both.db")), tmp_path / "made.jsonl"
    made.write_text(json.dumps({"problem": 3, "completion": "x", "correct": True}))
    assert invoke("import", made, "--label", "theirs", "--db", path).code == 0
    told = invoke("verify", "--all", "--db", path).stdout
    assert "verdicts: ok (70 recomputed; not recomputed: verdicts of imported rollouts)" in told
    shell(path, f"UPDATE rollout SET reward = 0.25 WHERE {ONE}")
    done = invoke("verify", "--all", "--db", path)
    assert (done.code, "problem id 5, seed 43" in done.stdout) == (1, True)

    alone = tmp_path / "alone.db"
    assert invoke("import", made, "--label", "theirs", "--db", alone).code == 0
    assert "verdicts: not checked (0 recomputed" in invoke("verify", "--all", "--db", alone).stdout

    old = Path(shutil.copy(Path(__file__).parent.parent / "data" / "schema-m001.db", tmp_path / "old.db"))
    told = invoke("verify", "--db", old).stdout
    assert [question for question in ("problems", "texts", "sums") if f"{question}: not checked" not in told] == []
    assert "structure: ok" in told


ONE = "condition_id = 2 AND seed = 43 AND problem_id = 5"


@pytest.mark.parametrize(
    ("statements", "question", "named"),
    [
        ([f"DELETE FROM rollout WHERE {ONE}"], "holes", "problem 4, seed 43 of T=1 is not stored"),
        ([f"DELETE FROM rollout WHERE {ONE}"], "completions", "belongs to no rollout"),
        ([f"UPDATE rollout SET reward = 0.25 WHERE {ONE}"], "verdicts", "problem id 5, seed 43"),
        ([f"UPDATE rollout SET answer = '98' WHERE {ONE}"], "verdicts", "problem id 5, seed 43"),
        (["UPDATE completion SET text = text || '!' WHERE id = 20"], "texts", "completion 20 has changed"),
        (["PRAGMA foreign_keys = OFF", "DELETE FROM problem WHERE id = 5"], "references", "refer to a problem"),
        (["PRAGMA foreign_keys = OFF", "DELETE FROM completion WHERE id = 20"], "references", "refer to a completion"),
        (["UPDATE problem SET prompt = replace(prompt, '1, 2', '1, 3')"], "identities", "does not match its digest"),
        (["UPDATE condition SET temperature = 0.5 WHERE id = 2"], "identities", "condition 2 (T=1)"),
        (["DROP TRIGGER rollout_changed", f"UPDATE rollout SET correct = 1 - correct WHERE {ONE}"], "sums", "damaged"),
        (["DROP TRIGGER rollout_changed", f"UPDATE rollout SET token_count = 99 WHERE {ONE}"], "sums", "tokens"),
        (["UPDATE rollout SET completion_id = 20 WHERE completion_id = 21"], "completions", "belongs to 2 rollouts"),
    ],
)  # fmt: skip
def test_what_is_off_is_named(sound: Path, tmp_path: Path, statements: list[str], question: str, named: str) -> None:
    path = Path(shutil.copy(sound, tmp_path / "off.db"))
    shell(path, *statements)
    done = invoke("verify", "--db", path, "--all")
    assert done.code == 1
    assert "is damaged" in done.stderr
    answers = json.loads(invoke("verify", "--db", path, "--all", "--format", "json").stdout)["answers"]
    found = {answer["question"]: answer["found"] for answer in answers}
    assert any(named in line for line in found[question]), found


def test_a_flipped_text_is_found(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "flipped.db"
    blob = sound.read_bytes()
    at = blob.rindex(b"three")
    path.write_bytes(blob[:at] + b"threE"[: len("three")] + blob[at + 5 :])
    done = invoke("verify", "--db", path)
    assert done.code == 1
    assert "has changed" in done.stdout


def test_an_unfinished_run_is_not_off(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path / "stopped.db"))
    shell(path, "UPDATE session SET outcome = 'stopped'", f"DELETE FROM rollout WHERE {ONE}")
    shell(path, "DELETE FROM completion WHERE id NOT IN (SELECT completion_id FROM rollout)")
    done = invoke("verify", "--db", path)
    assert done.code == 0, done.stdout


def test_findings_are_counted_and_not_held(tmp_path: Path) -> None:
    """A file whose every text has changed: memory does not grow with the findings."""
    path, most = fill(tmp_path / "e.db"), []
    for copies in (1_000, 20_000):
        shell(
            path,
            "DROP TRIGGER IF EXISTS rollout_added",
            f"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < {copies}) "
            f"INSERT INTO completion (text, checksum) SELECT 'lost', 1 FROM n",
        )
        tracemalloc.start()
        with RolloutStore.open(path) as store:
            found = list(texts(store))
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found[-1].startswith("... and ") and len(found) == 21
    assert most[1] < most[0] + 200_000, most
