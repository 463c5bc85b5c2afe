"""``rescore`` on what the real command line sampled: what it counts, what it writes, and what a kill leaves."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from esprobe.store.lock import WriterLock
from esprobe.tasks.countdown import score
from esprobe.tasks.countdown.generate import GENERATED_SEED, candidates, distinct
from tests.conftest import Run, run_esprobe

SOLVABLE = next(islice(distinct(candidates(GENERATED_SEED)), 200, None))
RIGHT = SOLVABLE.solution
WRITTEN = [
    f" </think>\n<answer>{RIGHT}</answer>",  # right for both
    f" </think>\n<answer>+{RIGHT}</answer>",  # a sign: right for es-paper alone
    f" </think>\n<answer>\n{RIGHT}</answer>",  # a line break before it: right for strict alone
    f" </think>\n<answer>+({RIGHT})+1</answer>",  # wrong for both, and for the same reason
    f" </think>\n<answer>-({RIGHT})</answer>",  # wrong for both, for different reasons
    " I am not sure.",
]
VERDICTS = (
    "SELECT condition, seed, problem, completion, reward, correct, answer, failure FROM rollouts ORDER BY 1, 2, 3"
)


def query(path: Path, text: str) -> list[tuple]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two sessions: a temperature and a sigma over problem 200, whose answers are scripted."""
    (tmp_path / "model.json").write_text(json.dumps({"*": WRITTEN}))
    common = ["--engine", "scripted", "--model", "model.json", "--problems", "200:201", "--samples", "12"]
    assert run_esprobe(tmp_path, "sample-temp", *common, "-t", "0.8", "--no-baseline").returncode == 0
    assert run_esprobe(tmp_path, "sample-perturb", *common, "--sigma", "0.005", "--no-baseline").returncode == 0
    return tmp_path / "esprobe.db"


def expected(path: Path, scorer: str) -> list[tuple]:
    """What a scorer makes of the stored texts, by calling it."""
    rows = []
    for condition, seed, problem, text, *_ in query(path, VERDICTS):
        made = score(text, list(SOLVABLE.numbers), str(SOLVABLE.target), scorer)
        rows.append((condition, seed, problem, text, made.reward, int(made.correct), made.answer, made.failure))
    return rows


def test_a_comparison_counts_every_kind_of_change_and_changes_nothing(esprobe: Run, database: Path) -> None:
    before = database.read_bytes()
    old, new = expected(database, "es-paper/1"), expected(database, "strict/1")
    assert query(database, VERDICTS) == old
    document = json.loads(esprobe("rescore", "--scorer", "strict/1", "--format", "json").stdout)
    assert document["written"] is False
    for told in document["conditions"]:
        pairs = [(a, b) for a, b in zip(old, new, strict=True) if a[0] == told["id"]]
        assert told["rollouts"] == 12
        assert (told["from"], told["to"]) == (["es-paper/1"], "strict/1")
        assert told["correct_before"] == sum(a[5] for a, _ in pairs)
        assert told["correct_after"] == sum(b[5] for _, b in pairs)
        assert told["right_to_wrong"] == sum(a[5] > b[5] for a, b in pairs)
        assert told["wrong_to_right"] == sum(a[5] < b[5] for a, b in pairs)
        assert told["other_reward"] == sum(a[4] != b[4] for a, b in pairs)
        assert told["other_answer"] == sum(a[6] != b[6] for a, b in pairs)
        assert told["other_failure"] == sum(not a[5] and not b[5] and a[7] != b[7] for a, b in pairs)
        assert told["changed"] == sum(a != b for a, b in pairs)
    total = {key: sum(told[key] for told in document["conditions"]) for key in document["conditions"][0]
             if key.startswith(("right", "wrong", "other"))}  # fmt: skip
    assert all(total.values()), f"the script should make every kind of change: {total}"
    assert database.read_bytes() == before


def test_writing_gives_every_rollout_the_other_verdict_and_back(esprobe: Run, database: Path) -> None:
    new, old = expected(database, "strict/1"), query(database, VERDICTS)
    done = esprobe("rescore", "--scorer", "strict", "--write")
    assert done.returncode == 0, done.stderr
    assert "scored by es-paper/1, now by strict/1" in done.stdout
    assert query(database, VERDICTS) == new != old
    assert "scored by strict/1" in esprobe("passk").stdout
    remarks = query(database, "SELECT rescored FROM session")
    assert all("es-paper/1 to strict/1 by esprobe" in remark for (remark,) in remarks)
    assert query(database, "PRAGMA integrity_check") == [("ok",)]

    again = esprobe("rescore", "--scorer", "strict/1", "--write")
    assert (again.returncode, again.stdout) == (0, "")
    assert "2 of 2 sessions had that scorer's verdicts" in again.stderr and "nothing to do" in again.stderr

    assert esprobe("rescore", "--scorer", "es-paper/1", "--write").returncode == 0
    assert query(database, VERDICTS) == old


def test_verdicts_that_came_with_an_import_are_left_alone(esprobe: Run, database: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.jsonl"
    made.write_text(json.dumps({"problem": 3, "completion": "x", "correct": True}))
    alone = tmp_path / "alone.db"
    for into in (database, alone):
        assert esprobe("import", made, "--label", "theirs", "--db", into).returncode == 0
    done = esprobe("rescore", "--scorer", "strict", "--db", database)
    assert (done.returncode, "1 imports were not changed" in done.stderr) == (0, True), done.stderr
    done = esprobe("rescore", "--scorer", "strict", "--db", alone)
    assert (done.returncode, "contains only imported rollouts" in done.stderr) == (1, True)


def test_without_a_scorer_the_newest_version_of_each_is_meant(esprobe: Run, database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE scorer SET name = 'es-paper/0'")
        connection.execute("UPDATE rollout SET correct = 0, reward = 0, failure = 'other'")
    connection.close()
    assert esprobe("rescore", "--write").returncode == 0
    assert query(database, VERDICTS) == expected(database, "es-paper/1")
    names = query(database, "SELECT DISTINCT name FROM session JOIN scorer ON scorer.id = scorer_id")
    assert names == [("es-paper/1",)]


def test_sampling_on_says_that_figures_would_mix_two_scorers(esprobe: Run, database: Path) -> None:
    assert esprobe("rescore", "--scorer", "strict/1", "--write").returncode == 0
    command = ["sample-temp", "--engine", "scripted", "--model", "model.json", "--problems", "200:201", "-t", "0.8"]
    more = esprobe(*command, "--no-baseline", "--samples", "18")
    assert "scored by strict/1, new ones are by es-paper/1" in more.stderr
    assert "esprobe rescore --db esprobe.db --scorer strict/1 --write" in more.stderr
    assert esprobe("rescore", "--scorer", "strict/1", "--write").returncode == 0
    assert query(database, VERDICTS) == expected(database, "strict/1")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--scorer", "exact"], 2, "task countdown has no scorer 'exact'"),
        (["--scorer", "strict/9"], 2, "use --scorer es-paper/1 or strict/1 or es-at-scale/1 or lenient/1"),
        (["--db", "absent.db"], 1, "there is no database at absent.db"),
        (["--db", "absent.db", "--write"], 1, "there is no database at absent.db"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_a_line(
    esprobe: Run, database: Path, arguments: list[str], code: int, said: str
) -> None:
    done = esprobe("rescore", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (database.parent / "absent.db").exists()


def test_only_writing_waits_for_nobody(esprobe: Run, database: Path) -> None:
    with WriterLock(database):
        refused = esprobe("rescore", "--scorer", "strict/1", "--write")
        compared = esprobe("rescore", "--scorer", "strict/1")
    assert (refused.returncode, compared.returncode) == (1, 0)
    assert "is being written by process" in refused.stderr


# --- kills

SLOW_TASK = """
import time
from esprobe.tasks import countdown

class Slow(countdown.CountdownTask):
    name = "slow"

    def score(self, problem, completion, scorer):
        if scorer == "strict/1":
            time.sleep(0.1)
        return super().score(problem, completion, scorer)

def load():
    return Slow()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_kill_leaves_whole_sessions_and_the_same_command_goes_on(
    process: Run, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """A real task of another package, slow in scoring; three sessions, killed while the second is rescored."""
    installed = tmp_path / "slow-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: slow\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[esprobe.tasks]\nslow = slow_task:load\n")
    (tmp_path / "slow_task.py").write_text(SLOW_TASK)
    (tmp_path / "model.json").write_text(json.dumps({"*": WRITTEN}))
    common = ["--task", "slow", "--engine", "scripted", "--model", "model.json", "--problems", "200:201", "-t", "0.8"]
    for samples in (12, 24, 30):
        assert process("sample-temp", *common, "--no-baseline", "--samples", samples).returncode == 0
    database = tmp_path / "esprobe.db"
    old, new = query(database, VERDICTS), expected(database, "strict/1")
    assert len(old) == 30
    of_session = dict(query(database, "SELECT seed, session FROM rollouts"))

    command = [sys.executable, "-m", "esprobe", "rescore", "--scorer", "strict/1", "--write"]
    scorers = "SELECT session.id, name FROM session JOIN scorer ON scorer.id = scorer_id ORDER BY 1"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while query(database, scorers)[0][1] != "strict/1":
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    if number != signal.SIGKILL:
        assert err.startswith(f"stopped by {number.name}") and err.count("\n") == 1

    named = dict(query(database, scorers))
    assert named[1] == "strict/1" and "es-paper/1" in named.values()
    by_scorer = {"es-paper/1": old, "strict/1": new}
    for row, verdict in enumerate(query(database, VERDICTS)):
        assert verdict == by_scorer[named[of_session[verdict[1]]]][row]

    again = process("rescore", "--scorer", "strict/1", "--write")
    assert again.returncode == 0, again.stderr
    assert f"{list(named.values()).count('strict/1')} of 3 sessions had that scorer's verdicts" in again.stderr
    assert query(database, VERDICTS) == new
    assert query(database, "PRAGMA integrity_check") == [("ok",)]


def test_verdicts_of_several_scorers_are_not_set_side_by_side_in_silence(esprobe: Run, database: Path) -> None:
    warning = "erdicts are of several scorers (T=0.8: es-paper/1 and strict/1; sigma=0.005: strict/1)"
    assert esprobe("rescore", "--scorer", "strict/1", "--write").returncode == 0
    compared = ("compare", "T=0.8", "sigma=0.005", "--k", 1)
    for command in (("passk",), ("report",), compared):
        assert "several scorers" not in esprobe(*command).stdout
    more = ["--engine", "scripted", "--model", "model.json", "--problems", "200:201", "--samples", "14", "-t", "0.8"]
    assert esprobe("sample-temp", *more, "--no-baseline").returncode == 0
    for command in (("passk",), ("passk", "--format", "markdown"), ("report",), compared):
        assert warning in esprobe(*command).stdout.replace("\\", "")
    assert warning in json.loads(esprobe(*compared, "--format", "json").stdout)["notes"][-1]
    # Without a name nothing is wrong with either scorer's verdicts.
    unnamed = esprobe("rescore", "--write").stderr
    assert "the newest verdicts of their scorers; --scorer names one for all" in unnamed and "nothing to do" in unnamed
    assert esprobe("rescore", "--scorer", "es-paper", "--write").returncode == 0
    assert "several scorers" not in esprobe("passk").stdout


def test_a_session_without_its_work_is_damage(esprobe: Run, database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("DELETE FROM work")
    connection.commit()
    connection.close()
    done = esprobe("rescore", "--scorer", "strict")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is damaged (session 1 has 12 rollouts" in done.stderr and len(done.stderr.splitlines()) == 1
