"""``--give-up-broken``: a sigma that answers nothing is stopped, and what is not drawn is not owed."""

import json
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from esprobe.seeds import h64
from tests.sampling.kills import running, stored
from tests.sampling.material import ANSWER, invoke, query, rows, write_data, write_script

PROBLEMS = 5
LONG = " so many words" * 16
NOTICE = "sigma=0.05 is given up: of 16 perturbations 100.0 % of the completions are cut off and none is correct; "


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A model that answers without noise and never ends its answer with it."""
    texts = {}
    for index in range(PROBLEMS):
        texts[f"p{index}"] = [LONG] * 4096
        texts[f"p{index}"][h64(index, 0) % 4096] = ANSWER
    return write_script(tmp_path / "broken.json", LONG, **texts)


@pytest.fixture
def command(broken: Path, tmp_path: Path) -> list[object]:
    data = write_data(tmp_path / "data.json", PROBLEMS)
    common = ["--engine", "scripted", "--model", broken, "--data", data, "--problems", f"0:{PROBLEMS}"]
    return ["sample-perturb", *common, "--max-tokens", "32", "--sigma", "0.05", "--sigma", "0.06"]


def drawn(db: Path, sigma: float = 0.05) -> list[int]:
    """The seeds with rollouts."""
    return [int(str(seed)) for (seed,) in query(db, "SELECT DISTINCT seed FROM rollouts WHERE sigma = ?", sigma)]


def marks(db: Path) -> list[tuple[object, ...]]:
    return query(db, "SELECT condition_id, first_index, stop_index, seeds, judged, cut_off FROM given_up")


def status(db: Path) -> dict[str, object]:
    done = invoke("status", "--db", db, "--format", "json")
    assert done.code == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_broken_sigma_is_stopped_after_sixteen_perturbations_and_everything_says_so(
    command: list[object], db: Path
) -> None:
    flagged = [*command, "--samples", "40", "--db", db, "--give-up-broken"]
    done = invoke(*flagged)
    assert done.stdout.startswith(f"165 of 165 rollouts stored in {db} (165 now)\n")
    assert NOTICE + "24 seeds will not be drawn (--give-up-broken)\n" in done.stderr
    assert drawn(db) == drawn(db, 0.06) == list(range(42, 58))
    assert marks(db) == [(2, 0, 5, "[[58,81]]", 80, 80), (3, 0, 5, "[[58,81]]", 80, 80)]
    again = invoke(*flagged)
    assert again.stdout.startswith(f"nothing to do: all 165 rollouts are in {db}\n")

    told = status(db)
    assert (told["planned"], told["missing"], told["eta_s"]) == (165, 0, 0.0)
    note = "24 seeds given up (--give-up-broken): of the first perturbations 100.0 % of the completions were cut off"
    assert f"sigma=0.05: {note} and none was correct" in invoke("status", "--db", db).stdout
    table = invoke("passk", "--db", db, "--k", "1", "--k", "16").stdout
    assert f"sigma=0.06: {note} and none was correct." in table
    assert "Sigma=" not in table
    assert f"note: sigma=0.05: {note}" in invoke("passk", "--db", db, "--format", "csv").stderr
    assert invoke("verify", "--db", db).code == 0
    plan = invoke("plan", *flagged[1:])
    assert "no rollouts are missing" in plan.stdout, plan.stderr
    assert "240" in invoke("plan", *flagged[1:-1]).stdout  # without the option they would be drawn


def test_the_report_names_what_was_given_up(command: list[object], db: Path, tmp_path: Path) -> None:
    assert invoke(*command, "--samples", "40", "--db", db, "--give-up-broken").code == 0
    note = "24 seeds given up (--give-up-broken): of the first perturbations 100.0 %"
    for name in ("r.md", "r.html"):
        done = invoke("report", "--db", db, "--output", tmp_path / name, "--k", "1", "--k", "16")
        assert done.code == 0, done.stderr
        assert note in (tmp_path / name).read_text().replace("\\", "").replace("&#45;", "-")
    document = json.loads(invoke("report", "--db", db, "--format", "json").stdout)
    entries = document["conditions"]
    assert [entry.get("given_up") for entry in entries] == [None, *[{"seeds": 24, "cut_off": 1.0}] * 2]
    assert [entry["missing"] for entry in entries] == [0, 0, 0]


def test_a_larger_k_is_that_of_the_other_conditions(command: list[object], db: Path) -> None:
    assert invoke(*command, "--samples", "40", "--db", db, "--give-up-broken").code == 0
    assert invoke(*command[:-4], "--sigma", "0.07", "--samples", "40", "--db", db).code == 0
    done = invoke("passk", "--db", db, "--k", "32")
    assert done.code == 0 and "32 | n too small | n too small | 0.0 %" in " ".join(done.stdout.split())
    refused = invoke("report", "--db", db, "--k", "32", "--format", "json")
    assert refused.code == 2 and "pass@32 cannot be estimated for sigma=0.05" in refused.stderr


def test_a_kill_after_any_commit_changes_nothing(command: list[object], db: Path, tmp_path: Path) -> None:
    flagged = [*command, "--samples", "40", "--give-up-broken", "--db"]
    assert invoke(*flagged, db).code == 0
    for kept in range(0, 166, 11):
        killed = tmp_path / f"{kept}.db"
        shutil.copy(db, killed)
        with closing(sqlite3.connect(killed)) as connection, connection:
            connection.execute("DELETE FROM given_up")
            connection.execute("DELETE FROM rollout WHERE completion_id > ?", (kept,))
            connection.execute("DELETE FROM completion WHERE id > ?", (kept,))
            connection.execute("UPDATE session SET outcome = NULL")
        assert invoke(*flagged, killed).code == 0
        assert (rows(killed), marks(killed)) == (rows(db), marks(db)), kept


def test_without_the_option_the_seeds_are_drawn_after_all(command: list[object], db: Path, tmp_path: Path) -> None:
    never = tmp_path / "never.db"
    assert invoke(*command, "--samples", "40", "--db", never).code == 0
    assert invoke(*command, "--samples", "40", "--db", db, "--give-up-broken").code == 0
    done = invoke(*command, "--samples", "40", "--db", db)
    assert done.stdout.startswith(f"405 of 405 rollouts stored in {db} (240 now)\n")
    assert rows(db) == rows(never)
    assert marks(db) == []
    assert invoke("verify", "--db", db).code == 0


def test_seeds_that_are_drawn_after_all_are_owed_and_no_damage(command: list[object], db: Path) -> None:
    assert invoke(*command, "--samples", "40", "--db", db, "--give-up-broken").code == 0
    assert invoke(*command, "--samples", "20", "--db", db).code == 0
    assert status(db)["missing"] == 0 and drawn(db) == list(range(42, 62))
    with closing(sqlite3.connect(db)) as connection, connection:  # as if that run had been killed in its last seed
        connection.execute("DELETE FROM rollout WHERE condition_id = 2 AND seed = 61 AND problem_id > 2")
        connection.execute("DELETE FROM completion WHERE id NOT IN (SELECT completion_id FROM rollout)")
        connection.execute("UPDATE session SET outcome = NULL WHERE id = 2")
    assert status(db)["missing"] == 3
    assert invoke("verify", "--db", db).code == 0


def test_more_samples_of_a_sigma_that_was_given_up_are_given_up_without_drawing(
    command: list[object], db: Path
) -> None:
    assert invoke(*command, "--samples", "16", "--db", db).code == 0
    assert not marks(db)
    done = invoke(*command, "--samples", "1024", "--db", db, "--give-up-broken")
    assert done.stdout.startswith("nothing to do: all 165 rollouts")
    assert NOTICE + "1,008 seeds will not be drawn" in done.stderr
    assert "loading" not in done.stderr
    assert status(db)["missing"] == 0


def test_more_problems_are_judged_again(command: list[object], db: Path) -> None:
    few = [word if word != "0:5" else "0:3" for word in command]
    assert invoke(*few, "--samples", "40", "--db", db, "--give-up-broken").code == 0
    assert invoke(*command, "--samples", "40", "--db", db, "--give-up-broken").code == 0
    assert drawn(db) == list(range(42, 58)) and status(db)["missing"] == 0
    assert marks(db) == [(2, 0, 5, "[[58,81]]", 80, 80), (3, 0, 5, "[[58,81]]", 80, 80)]


def test_nothing_is_given_up_without_a_baseline(command: list[object], db: Path) -> None:
    done = invoke(*command, "--samples", "20", "--db", db, "--give-up-broken", "--no-baseline")
    assert "--give-up-broken compares with the greedy baseline, which" in done.stderr
    assert len(drawn(db)) == 20 and not marks(db)
    few = invoke(*command, "--samples", "8", "--seed", "7", "--db", db, "--give-up-broken")
    assert "8 of sigma=0.05 are planned here, so it will not be given up" in few.stderr
    # Now there is a baseline, which this command need not draw.
    assert invoke(*command, "--samples", "40", "--db", db, "--give-up-broken", "--no-baseline").code == 0
    assert len(drawn(db)) == 28


@pytest.mark.parametrize("texts", [(LONG,), (ANSWER, LONG, LONG, LONG, LONG, LONG, LONG)])
def test_a_sigma_that_solves_something_or_a_baseline_that_is_cut_off_too_is_drawn(
    texts: tuple[str, ...], command: list[object], db: Path, tmp_path: Path
) -> None:
    script = write_script(tmp_path / "other.json", *texts)
    other = [word if not str(word).endswith("broken.json") else script for word in command]
    assert invoke(*other, "--samples", "20", "--db", db, "--give-up-broken").code == 0
    assert len(drawn(db)) == 20 and not marks(db)


def test_two_workers_finish_what_they_have_begun(command: list[object], db: Path) -> None:
    flagged = [*command, "--samples", "60", "--db", db, "--give-up-broken"]
    assert invoke(*flagged, "--workers", "2").code == 0
    assert list(range(42, 58)) == drawn(db)[:16] and len(drawn(db)) < 40
    assert status(db)["missing"] == 0
    assert invoke("verify", "--db", db).code == 0
    assert invoke(*flagged).stdout.startswith("nothing to do")


def test_shards_judge_their_own_seeds_and_merge(command: list[object], db: Path, tmp_path: Path) -> None:
    assert invoke(*command, "--samples", "1", "--db", db).code == 0
    flagged = [*command, "--samples", "50", "--give-up-broken", "--shard"]
    shards = [tmp_path / "1.db", tmp_path / "2.db"]
    for number, shard in enumerate(shards, 1):
        shutil.copy(db, shard)
        assert invoke(*flagged, f"{number}/2", "--db", shard).code == 0
        assert "baseline, which" in invoke(*flagged, f"{number}/2", "--db", tmp_path / "alone.db").stderr or number == 2
    merged = tmp_path / "merged.db"
    assert invoke("merge", *shards, "--into", merged).code == 0
    assert (status(merged)["missing"], status(merged)["planned"]) == (0, 5 + 2 * 160)
    assert invoke("verify", "--db", merged).code == 0
    assert invoke(*flagged[:-1], "--db", merged).stdout.startswith("nothing to do")
    before = marks(merged)
    assert invoke("merge", *shards, "--into", merged).code == 0
    assert sorted(marks(merged), key=str) == sorted(before, key=str)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_seed_that_another_file_has_is_not_given_up_any_more(
    order: tuple[int, int], command: list[object], tmp_path: Path
) -> None:
    files = [tmp_path / "given-up.db", tmp_path / "drawn.db"]
    assert invoke(*command, "--samples", "40", "--db", files[0], "--give-up-broken").code == 0
    assert invoke(*command, "--samples", "20", "--db", files[1]).code == 0
    with closing(sqlite3.connect(files[1])) as connection, connection:  # killed in its last seed
        connection.execute("DELETE FROM rollout WHERE seed = 61 AND problem_id > 2")
        connection.execute("DELETE FROM completion WHERE id NOT IN (SELECT completion_id FROM rollout)")
        connection.execute("UPDATE session SET outcome = NULL")
    merged = tmp_path / "merged.db"
    assert invoke("merge", *(files[one] for one in order), "--into", merged).code == 0
    assert {row[3] for row in marks(merged)} == {"[[62,81]]"}
    assert status(merged)["missing"] == 6
    assert invoke("verify", "--db", merged).code == 0


def test_removing_and_salvaging_know_the_marks(command: list[object], db: Path, tmp_path: Path) -> None:
    assert invoke(*command, "--samples", "40", "--db", db, "--give-up-broken").code == 0
    salvaged = tmp_path / "salvaged.db"
    assert invoke("salvage", db, "--into", salvaged).code == 0
    assert marks(salvaged) == marks(db) and status(salvaged)["missing"] == 0
    assert invoke("remove", "--db", salvaged, "--condition", "sigma=0.05", "--write").code == 0
    assert [row[0] for row in marks(salvaged)] == [3]


def test_a_mark_that_has_changed_is_refused(command: list[object], db: Path) -> None:
    assert invoke(*command, "--samples", "40", "--db", db, "--give-up-broken").code == 0
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE given_up SET seeds = '[[58,82]]' WHERE condition_id = 2")
    for reading in ("status", "passk", "verify"):
        done = invoke(reading, "--db", db)
        assert done.code == 1
        assert "given up do not match their checksum" in done.stdout + done.stderr


TINY = [
    *("sample-perturb", "--model", "tiny", "--sigma", "0.05", "--sigma", "0.002", "--problems", "200:204"),
    *("--samples", "40", "--seed", "1383", "--max-tokens", "24"),
]
"""Sixteen perturbations under which the bundled model ends an answer in one of 64 cases."""


@pytest.mark.slow
def test_the_bundled_model_at_a_broken_sigma_saves_rollouts_and_a_kill_changes_nothing(
    db: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.db"
    assert invoke(*TINY, "--db", plain).code == 0
    flagged = [*TINY, "--give-up-broken"]
    with running([*flagged], db, 70) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert stored(db) < 228
    done = invoke(*flagged, "--db", db)
    assert done.stdout.startswith(f"228 of 228 rollouts stored in {db}"), done.stderr
    assert stored(plain) - stored(db) == 24 * 4
    healthy = "SELECT problem, seed, completion, correct FROM rollouts WHERE sigma IS NOT 0.05 ORDER BY sigma, 1, 2"
    assert query(db, healthy) == query(plain, healthy)
    assert drawn(db) == list(range(1383, 1399))
