"""The whole of a sampling run on the scripted engine: what it stores, what it says, and how it ends."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import esprobe
from esprobe.engines import ModelIdentity, StopCheck
from esprobe.engines.scripted import ScriptedEngine
from esprobe.errors import EngineError, StoreError
from esprobe.sampling.job import Job
from esprobe.sampling.loop import COMMIT_ROLLOUTS, Loop
from esprobe.sampling.observer import Progress
from esprobe.sampling.plan import Plan, Planned
from esprobe.sampling.run import Summary, run
from esprobe.sampling.stop import StopSignals
from esprobe.seeds import h64
from esprobe.spec import Completion, Request
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.tasks import load_task
from esprobe.tasks.judging import Scorer
from esprobe.tasks.scoring import DirectScoring
from esprobe.workers.pool import InProcessPool
from esprobe.workers.worker import Worker
from tests.sampling.kills import hear_hangups
from tests.sampling.material import Watcher, invoke, job, query, rows, write_data, write_script
from tests.store.material import shell


def sample(asked: Job, db: Path, watcher: Watcher | None = None) -> Summary:
    with StopSignals() as stop:
        return run(asked, db, watcher or Watcher(), stop)


def count(db: Path) -> int:
    ((number,),) = query(db, "SELECT count(*) FROM rollout")
    assert isinstance(number, int)
    return number


# What a run stores and says.


def test_a_run_says_what_it_stored_and_what_comes_next(common: list[object], db: Path) -> None:
    done = invoke("sample-temp", *common, "-t", "0.5", "-t", "1", "--samples", "11")
    assert (done.code, done.stdout) == (
        0,
        f"1,150 of 1,150 rollouts stored in {db} (1,150 now)\nnext: esprobe passk --db {db}\n",
    )
    assert "1,150 of 1,150 (100.0%)" in done.stderr.splitlines()[-1]
    stored = query(db, "SELECT kind, temperature, problem, count(*) FROM rollouts GROUP BY 1, 2, 3")
    assert set(stored) == {
        *(("greedy", None, index, 1) for index in range(50)),
        *(("temperature", t, index, 11) for t in (0.5, 1.0) for index in range(50)),
    }


def test_each_completion_is_scored_as_its_problem_asks(common: list[object], db: Path) -> None:
    invoke("sample-temp", *common, "-t", "1", "--samples", "20")
    solved = query(db, "SELECT DISTINCT problem, completion, reward, answer, failure FROM rollouts WHERE correct")
    assert [(problem, reward, failure) for problem, _, reward, _, failure in solved] == [(0, 1.1, None)]
    assert all(" 1 + 2 " in str(completion) for _, completion, *_ in solved)
    failures = query(db, "SELECT DISTINCT failure FROM rollouts WHERE NOT correct")
    assert len(failures) > 1 and (None,) not in failures


def test_the_same_command_again_has_nothing_to_do_and_loads_nothing(common: list[object], db: Path) -> None:
    command = ["sample-temp", *common, "-t", "1", "--samples", "2"]
    invoke(*command)
    before = rows(db)
    done = invoke(*command)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == f"nothing to do: all 150 rollouts are in {db}\nnext: esprobe passk --db {db}\n"
    assert rows(db) == before
    assert query(db, "SELECT count(*) FROM session") == [(1,)]


def test_a_resumed_run_says_how_much_is_stored(common: list[object], db: Path) -> None:
    command = ["sample-temp", *common, "-t", "1", "--no-baseline", "--samples"]
    invoke(*command, "24")
    before = rows(db)
    done = invoke(*command, "100")
    assert done.stderr.startswith("resuming: 1,200 of 5,000 stored\n")
    assert done.stdout.startswith(f"5,000 of 5,000 rollouts stored in {db} (3,800 now)\n")
    assert set(before) < set(rows(db))


def test_rollouts_that_another_program_deletes_meanwhile_are_not_said_to_be_stored(
    tmp_path: Path, script: Path, data: Path
) -> None:
    asked, db = job(script, data, problems=(0, 50), samples=40), tmp_path / "x.db"

    def delete(progress: Progress) -> None:
        if progress.done > 600:
            shell(db, "DELETE FROM rollout WHERE seed < 45")

    with pytest.raises(StoreError, match=r"1?\d\d of the 2,050 rollouts are not in .*x\.db.*same command again"):
        sample(asked, db, Watcher(delete))
    missing = 2050 - count(db)
    assert missing > 0
    assert query(db, "SELECT outcome FROM session") == [("failed",)]
    assert sample(asked, db).drawn == missing and count(db) == 2050


def test_a_stopped_run_counts_what_is_there(tmp_path: Path, script: Path, data: Path) -> None:
    db = tmp_path / "x.db"

    def delete_and_stop(progress: Progress) -> None:
        if progress.done > 600 and count(db) > 600:
            shell(db, "DELETE FROM rollout WHERE seed < 45")
            signal.raise_signal(signal.SIGTERM)

    summary = sample(job(script, data, problems=(0, 50), samples=400), db, Watcher(delete_and_stop))
    assert (summary.outcome, summary.stored) == ("stopped", count(db))


def test_fewer_samples_than_stored_is_no_error_and_deletes_nothing(common: list[object], db: Path) -> None:
    invoke("sample-temp", *common, "-t", "1", "--samples", "5")
    before = rows(db)
    done = invoke("sample-temp", *common, "-t", "1", "--samples", "2")
    assert (done.code, done.stdout.splitlines()[0]) == (0, f"nothing to do: all 150 rollouts are in {db}")
    assert rows(db) == before


def test_both_arms_share_one_baseline(common: list[object], db: Path) -> None:
    invoke("sample-temp", *common, "-t", "1", "--samples", "2")
    done = invoke("sample-perturb", *common, "--sigma", "0.1", "--samples", "2")
    assert done.stdout.startswith("150 of 150 rollouts stored ")
    assert "(100 now)" in done.stdout
    assert query(db, "SELECT kind, count(*) FROM condition GROUP BY 1") == [
        ("greedy", 1),
        ("perturbation", 1),
        ("temperature", 1),
    ]


def test_seeds_of_one_perturbation_are_one_model_for_all_problems(common: list[object], db: Path) -> None:
    """The scripted engine answers by problem and perturbation, so two runs and two slices must agree."""
    invoke("sample-perturb", *common, "--sigma", "0.1", "--samples", "6", "--no-baseline")
    other = db.with_name("other.db")
    for part in ("25:50", "0:25"):
        options = ["--sigma", "0.1", "--samples", "6", "--no-baseline", "--db", other, "--problems", part]
        assert invoke("sample-perturb", *common, *options).code == 0
    assert rows(db) == rows(other)
    assert len({row[3] for row in rows(db)}) > 1


def test_an_interruption_anywhere_owes_exactly_what_is_missing(common: list[object], db: Path, tmp_path: Path) -> None:
    command = ["sample-temp", *common, "-t", "0.5", "-t", "1", "--samples", "20"]
    invoke(*command)
    whole = rows(db)
    dice = random.Random(7)
    for share in (0.01, 0.5, 0.99):
        copy = Path(shutil.copy(db, tmp_path / f"copy-{share}.db"))
        keys = query(copy, "SELECT condition_id, seed, problem_id FROM rollout")
        lost = dice.sample(keys, int(share * len(keys)))
        shell(copy, f"DELETE FROM rollout WHERE (condition_id, seed, problem_id) IN (VALUES {str(lost)[1:-1]})")
        done = invoke(*command, "--db", copy)
        assert f"({len(lost):,} now)" in done.stdout
        assert rows(copy) == whole


def test_debug_draws_twenty_problems_thirty_two_times_under_the_first_condition(common: list[object], db: Path) -> None:
    done = invoke("sample-temp", *common, "-t", "0.5", "-t", "1", "--debug")
    assert done.stdout.startswith(f"660 of 660 rollouts stored in {db}")
    assert query(db, "SELECT label, min(problem), max(problem), count(*) FROM "
        "(SELECT coalesce(temperature, kind) AS label, problem FROM rollouts) GROUP BY 1 ORDER BY 1") == [
        (0.5, 0, 19, 640),
        ("greedy", 0, 19, 20),
    ]  # fmt: skip


# What it says about conditions.


def test_a_new_condition_names_what_differs_from_the_nearest_stored_one(common: list[object]) -> None:
    invoke("sample-temp", *common, "-t", "0.8", "--samples", "1", "--no-baseline")
    done = invoke("sample-temp", *common, "-t", "0.8", "-t", "0.9", "--samples", "1", "--top-p", "0.9", "--no-baseline")
    notices = [line for line in done.stderr.splitlines() if line.startswith("new condition")]
    assert notices == [
        "new condition T=0.8: unlike the stored T=0.8, top_p is 0.9 and was 1.0",
        "new condition T=0.9: unlike the stored T=0.8, temperature is 0.9 and was 0.8, top_p is 0.9 and was 1.0",
    ]


def test_arms_that_do_not_match_are_told_where_they_differ(common: list[object]) -> None:
    temperature = ["sample-temp", *common, "-t", "0.8", "--samples", "1", "--no-baseline"]
    invoke(*temperature)
    sigma = ["sample-perturb", *common, "--sigma", "0.1", "--samples", "1", "--no-baseline"]
    done = invoke(*sigma, "--max-tokens", "7")
    assert "new condition sigma=0.1: unlike the stored T=0.8, max_tokens is 7 and was 1024\n" in done.stderr


def test_arms_that_match_are_no_news(common: list[object]) -> None:
    invoke("sample-temp", *common, "-t", "0.8", "--samples", "1", "--no-baseline")
    done = invoke("sample-perturb", *common, "--sigma", "0.1", "--samples", "1", "--no-baseline")
    assert "new condition" not in done.stderr


def test_another_text_of_the_same_model_is_named_by_its_fingerprint(common: list[object], script: Path) -> None:
    invoke("sample-perturb", *common, "--sigma", "0.1", "--samples", "1", "--no-baseline")
    write_script(script, "another text")
    done = invoke("sample-perturb", *common, "--sigma", "0.1", "--samples", "1", "--no-baseline")
    assert "unlike the stored sigma=0.1, model_fingerprint is " in done.stderr
    assert "(50 now)" in done.stdout


def test_a_first_run_and_a_resumed_one_announce_nothing(common: list[object]) -> None:
    for samples in ("1", "2"):
        assert "new condition" not in invoke("sample-temp", *common, "-t", "0.8", "--samples", samples).stderr


def test_every_condition_that_is_nearly_always_cut_off_is_warned_about_once(tmp_path: Path, data: Path) -> None:
    endless = write_script(tmp_path / "endless.json", "on and on " * 20)
    watcher = Watcher()
    asked = job(endless, data, temperatures=(), sigmas=(0.1, 0.2), max_tokens=9, problems=(0, 50), samples=30)
    sample(asked, tmp_path / "e.db", watcher)
    told = [re.match(r"(\d+) of \1 completions of (\S+) were cut off at 9 tokens[:,] ", m) for m in watcher.warnings]
    assert [found and found[2] for found in told] == ["greedy", "sigma=0.1", "sigma=0.2"]
    assert all("larger --max-tokens" in message for message in watcher.warnings)


@pytest.mark.parametrize("problems", [8, 49])
def test_a_small_run_is_judged_when_it_ends(tmp_path: Path, data: Path, problems: int) -> None:
    """Too few to judge by while it runs."""
    script = write_script(tmp_path / "endless.json", "on and on " * 20)
    warned_before: list[int] = []
    watcher = Watcher(lambda progress: warned_before.append(len(watcher.warnings)))
    asked = job(script, data, problems=(0, problems), temperatures=(), sigmas=(0.1,), max_tokens=9, samples=1)
    sample(asked, tmp_path / "e.db", watcher)
    assert set(warned_before) == {0}
    all_of_them = f"{problems} of {problems}"
    reason = "the limit may be too low, or the model never ends its answer; check with a larger --max-tokens"
    assert watcher.warnings == [
        f"{all_of_them} completions of greedy were cut off at 9 tokens: {reason}",
        f"{all_of_them} completions of sigma=0.1 were cut off at 9 tokens, as were {all_of_them} of the unperturbed "
        f"model: {reason}",
    ]

    again = Watcher()
    sample(asked, tmp_path / "e.db", again)
    assert again.warnings == [], "nothing was drawn, so there is nothing to judge"


def script_cut_off_under_noise(path: Path, problems: int) -> Path:
    """A model that ends its greedy answers, and under noise only one of 64."""
    texts = {}
    for problem in range(problems):
        texts[f"p{problem}"] = ["on and on " * 20] * 64
        texts[f"p{problem}"][h64(problem, 0) % 64] = "x"
    return write_script(path, "x", **texts)


def test_a_sigma_is_blamed_where_the_unperturbed_model_ends_its_answers(tmp_path: Path, data: Path) -> None:
    watcher = Watcher()
    script = script_cut_off_under_noise(tmp_path / "noisy.json", 20)
    asked = job(script, data, problems=(0, 20), temperatures=(), sigmas=(0.1,), max_tokens=9, samples=8)
    sample(asked, tmp_path / "e.db", watcher)
    (told,) = watcher.warnings
    assert ": this sigma has very likely broken the model" in told


def test_without_a_baseline_a_sigma_is_blamed_with_a_doubt(tmp_path: Path, data: Path) -> None:
    watcher = Watcher()
    script = script_cut_off_under_noise(tmp_path / "noisy.json", 20)
    asked = job(script, data, problems=(0, 20), temperatures=(), sigmas=(0.1,), max_tokens=9, samples=8, baseline=False)
    sample(asked, tmp_path / "e.db", watcher)
    (told,) = watcher.warnings
    assert "very likely broken the model, unless the limit is too low for the unperturbed model" in told


@pytest.mark.parametrize(
    ("problems", "texts"),
    [
        ((0, 7), ["on and on " * 20]),
        ((0, 10), ["on and on " * 20, "x"]),
        ((0, 50), ["on and on " * 20, "x"]),
        ((0, 50), ["on and on " * 20] * 9 + ["x"]),  # nine of ten are many, and not nearly all
    ],
)
def test_few_or_mixed_completions_are_no_reason_to_warn(
    tmp_path: Path, data: Path, problems: tuple[int, int], texts: list[str]
) -> None:
    watcher = Watcher()
    script = write_script(tmp_path / "some.json", *texts)
    sample(job(script, data, problems=problems, max_tokens=9, temperatures=()), tmp_path / "e.db", watcher)
    assert watcher.seen[-1].cut_off > 0.2
    assert watcher.warnings == []


# What cannot be written to.


@pytest.mark.parametrize(
    "command",
    [
        ["sample-temp", "-t", "1", "--samples", "1"],
        ["sample-perturb", "--sigma", "0.1", "--samples", "1"],
        ["scan", "--points", "2"],
    ],
    ids=lambda command: command[0],
)
def test_a_name_that_no_file_can_have_is_one_line(common: list[object], tmp_path: Path, command: list[str]) -> None:
    done = invoke(*command, *common[:-1], tmp_path / ("x" * 300))
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.endswith("(File name too long); name another one\n")


# What is recorded.


def test_a_session_records_what_was_asked_for_and_done(common: list[object], db: Path, script: Path) -> None:
    before = time.time()
    invoke("sample-temp", *common, "-t", "1", "--samples", "3", "--problems", "10:60")
    with RolloutStore.open(db) as store:
        (session,) = store.sessions()
        greedy, warm = store.conditions()
        totals = {known.id: store.totals(known.id) for known in (greedy, warm)}
    assert session.outcome == "done"
    assert session.command.startswith("esprobe sample-temp --engine scripted --model ")
    assert session.scorer == "es-paper/1"
    assert session.pid == os.getpid()
    assert session.versions["esprobe"] == esprobe.__version__
    assert session.engine["engine"] == "scripted" and session.engine["script"] == str(script)
    assert session.hardware["cpus"] == os.cpu_count()
    assert session.ended_utc is not None and session.started_utc <= session.ended_utc
    assert session.rollouts == 160 and session.tokens == sum(total.tokens for total in totals.values())
    assert abs(before - query(db, "SELECT unixepoch(started_utc) FROM session")[0][0]) < 60  # type: ignore[operator]
    columns = "condition_id, first_index, stop_index, problems, first_seed, samples, rollouts, tokens"
    assert query(db, f"SELECT {columns} FROM work") == [
        (greedy.id, 10, 50, 40, 0, 1, 40, totals[greedy.id].tokens),
        (warm.id, 10, 50, 40, 42, 3, 120, totals[warm.id].tokens),
    ]
    ((generate_s, switch_s),) = query(db, "SELECT min(generate_s), min(switch_s) FROM work")
    assert generate_s > 0 and switch_s >= 0  # type: ignore[operator]


def test_a_second_session_records_only_what_it_drew(common: list[object], db: Path) -> None:
    for samples in ("2", "5"):
        invoke("sample-temp", *common, "-t", "1", "--samples", samples)
    assert query(db, "SELECT rollouts, outcome FROM session ORDER BY id") == [(150, "done"), (150, "done")]
    assert query(db, "SELECT session, count(*), min(seed) FROM rollouts WHERE kind = 'temperature' GROUP BY 1") == [
        (1, 100, 42),
        (2, 150, 44),
    ]


def test_at_most_512_rollouts_and_one_answer_of_the_engine_are_uncommitted(tmp_path: Path, script: Path) -> None:
    """A second reader counts what is in the file at each report of progress."""
    db, data = tmp_path / "e.db", write_data(tmp_path / "wide.json", 70)
    stored: list[int] = []
    with RolloutWriter.open(db):
        pass
    with RolloutStore.open(db) as reader:

        def look(progress: Progress) -> None:
            stored.append(sum(reader.totals(known.id).rollouts for known in reader.conditions()))
            assert stored[-1] == progress.done

        sample(job(script, data, problems=(0, 70), samples=60), db, Watcher(look))
    assert stored[-1] == 70 * 61
    assert max(b - a for a, b in zip([0, *stored], stored, strict=False)) < COMMIT_ROLLOUTS + 64
    assert len(stored) >= 70 * 61 // (COMMIT_ROLLOUTS + 64)


def test_progress_counts_what_was_stored_before_and_the_condition_it_is_at(tmp_path: Path, script: Path) -> None:
    db, data = tmp_path / "e.db", write_data(tmp_path / "one.json", 1)
    sample(job(script, data, problems=(0, 1), samples=600), db)
    watcher = Watcher()
    sample(job(script, data, problems=(0, 1), samples=700), db, watcher)
    last = watcher.seen[-1]
    assert (last.done, last.total, last.rollouts, last.label) == (701, 701, 100, "T=1")
    ((correct, tokens),) = query(
        db, "SELECT avg(correct), sum(token_count * (session = 2)) FROM rollouts WHERE seed > 0"
    )
    assert (last.pass_at_1, last.tokens) == (pytest.approx(correct), tokens)
    assert 0 < last.pass_at_1 < 1


# How it ends.


def test_a_signal_before_sampling_ends_the_process_with_nothing_drawn(tmp_path: Path, script: Path, data: Path) -> None:
    class Impatient(Watcher):
        def notice(self, message: str) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        sample(job(script, data), tmp_path / "e.db", Impatient())
    assert ended.value.code == 75
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert query(tmp_path / "e.db", "SELECT count(*) FROM session") == [(0,)]


@pytest.mark.parametrize("kind", [{}, {"temperatures": (), "sigmas": (0.1,)}], ids=["temperature", "sigma"])
def test_a_signal_stops_a_run_with_everything_stored(
    tmp_path: Path, script: Path, data: Path, kind: dict[str, object]
) -> None:
    db = tmp_path / "e.db"
    asked = job(script, data, problems=(0, 50), samples=64, **kind)
    summary = sample(asked, db, Watcher(lambda progress: signal.raise_signal(signal.SIGUSR1)))
    assert summary.outcome == "stopped"
    assert 512 <= summary.stored == summary.drawn == count(db) < summary.total
    assert query(db, "SELECT outcome, rollouts FROM session") == [("stopped", summary.drawn)]
    assert sample(asked, db).outcome == "done"
    uninterrupted = tmp_path / "uninterrupted.db"
    sample(asked, uninterrupted)
    assert rows(db) == rows(uninterrupted)


def test_a_signal_that_comes_with_the_last_rollout_has_stopped_nothing(
    tmp_path: Path, script: Path, data: Path
) -> None:
    db = tmp_path / "e.db"
    summary = sample(job(script, data), db, Watcher(lambda progress: signal.raise_signal(signal.SIGTERM)))
    assert (summary.outcome, summary.stored) == ("done", summary.total)
    assert query(db, "SELECT outcome FROM session") == [("done",)]


def test_a_second_ctrl_c_changes_nothing(tmp_path: Path, script: Path, data: Path) -> None:
    db = tmp_path / "e.db"

    def press_twice(progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    summary = sample(job(script, data, problems=(0, 50), samples=64), db, Watcher(press_twice))
    assert (summary.outcome, summary.stored) == ("stopped", count(db))
    assert query(db, "SELECT outcome FROM session") == [("stopped",)]


class BreakingEngine(ScriptedEngine):
    """Answers so many requests in full, then does what its test says."""

    left = 0
    end: Callable[[], None]

    def generate(self, requests: Sequence[Request], stop: StopCheck) -> Iterator[list[Completion]]:
        yield []
        for completions in super().generate(requests, stop):
            if self.left <= 0:
                self.end()
                return
            self.left -= len(completions)
            yield completions


class SlowEngine(ScriptedEngine):
    """Takes three seconds for its first twelve answers, and looks each time how old the oldest unstored one is."""

    def __init__(self, db: Path) -> None:
        super().__init__(ModelIdentity("m", "f" * 64, "text"), {"*": ["text"]})
        self._db = db
        self._answered: list[float] = []
        self.oldest_s: list[float] = []

    def generate(self, requests: Sequence[Request], stop: StopCheck) -> Iterator[list[Completion]]:
        for request in requests:
            if len(self._answered) < 12:
                time.sleep(0.25)
            self._answered.append(time.monotonic())
            yield [self._complete(request)]
            unstored = self._answered[count(self._db) :]
            self.oldest_s.append(self._answered[-1] - unstored[0] if unstored else 0.0)


@pytest.fixture
def breaking(tmp_path: Path, script: Path, data: Path) -> Iterator[Callable[..., Loop]]:
    """Builds a loop over ten problems whose engine breaks after ``left`` requests, under the given stop."""
    with RolloutWriter.open(tmp_path / "e.db") as store:

        def build(
            left: int,
            end: Callable[[], None],
            stop: StopSignals,
            watcher: Watcher | None = None,
            engine: ScriptedEngine | None = None,
        ) -> Loop:
            task, identity = load_task("countdown"), ModelIdentity("m", "f" * 64, "text")
            rows = task.data_set(str(data))
            wanted = job(script, data, temperatures=(), sigmas=(0.1, 0.2)).conditions(task, rows, identity)
            planned = [Planned(store.register_condition(c), c, first, n) for c, first, n in wanted]
            prompted = [(problem, task.prompt(problem, "chat")) for problem in rows.problems[:10]]
            ids = store.register_problems("countdown", "t", prompted)
            plan = Plan(store, planned, {ids[problem.index]: problem.index for problem, _ in prompted})
            session = store.begin_session("test", "es-paper/1", {}, {}, {}, {})
            if engine is None:
                engine = BreakingEngine(identity, {"*": ["text"]})
                engine.left, engine.end = left, end
            return Loop(
                plan=plan,
                pool=InProcessPool(Worker(engine, identity, task, rows, "chat", "")),
                problems=rows.problems,
                scoring=DirectScoring(Scorer(task, task.scorers[0], (watcher or Watcher()).warning, None)),
                store=store,
                session_id=session,
                observer=watcher or Watcher(),
                stop=stop,
            )

        yield build


# 10 and 20 are the ends of units: the next one has begun and has answered nothing yet.
@pytest.mark.parametrize("left", [0, 10, 20])
def test_an_engine_that_fails_loses_nothing_that_was_finished(
    breaking: Callable[..., Loop], tmp_path: Path, left: int
) -> None:
    def fail() -> None:
        raise EngineError("out of memory")

    with pytest.raises(EngineError, match="out of memory"):
        breaking(left, fail, StopSignals()).run()
    assert count(tmp_path / "e.db") == left


def test_a_signal_between_two_units_stops_the_run(breaking: Callable[..., Loop], tmp_path: Path) -> None:
    watcher = Watcher()
    with StopSignals() as stop:
        stop.defer()
        breaking(10, lambda: signal.raise_signal(signal.SIGTERM), stop, watcher).run()
    assert count(tmp_path / "e.db") == 10
    assert [progress.label for progress in watcher.seen] == ["greedy"]


def test_requests_left_unanswered_are_an_error_not_a_finished_run(
    breaking: Callable[..., Loop], tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match="left 10 of 10 requests unanswered"):
        breaking(20, lambda: None, StopSignals()).run()
    assert count(tmp_path / "e.db") == 20


def test_no_answer_waits_two_seconds_to_be_stored(breaking: Callable[..., Loop], tmp_path: Path) -> None:
    engine = SlowEngine(tmp_path / "e.db")
    breaking(0, lambda: None, StopSignals(), engine=engine).run()
    assert 0.25 < max(engine.oldest_s) < 2.0


def test_a_hangup_that_nohup_ignores_stops_nothing(tmp_path: Path, script: Path) -> None:
    data, db = write_data(tmp_path / "wide.json", 40), tmp_path / "e.db"
    words: list[object] = [
        shutil.which("nohup"),
        sys.executable,
        "-m",
        "esprobe",
        "sample-temp",
        "--engine",
        "scripted",
    ]
    words += ["--model", script, "--data", data, "--problems", "0:40", "-t", "1", "--db", db, "--samples", "1000"]
    with subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _wait_for_rollouts(db, process)
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert count(db) == 40 * 1001


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGHUP, 75), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
    ids=["SIGTERM", "SIGUSR1", "SIGHUP", "SIGINT", "SIGKILL"],
)
def test_a_stopped_or_killed_command_resumes_to_what_an_uninterrupted_one_stores(
    tmp_path: Path, script: Path, number: signal.Signals, code: int
) -> None:
    data, db = write_data(tmp_path / "wide.json", 400), tmp_path / "e.db"
    command: list[object] = ["sample-temp", "--engine", "scripted", "--model", script, "--data", data]
    command += ["--problems", "0:400", "-t", "1", "--db", db, "--samples"]
    process = subprocess.Popen(
        [sys.executable, "-m", "esprobe", *map(str, command), "5000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_hangups,
    )
    try:
        _wait_for_rollouts(db, process)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, stdout) == (code, "")
    assert "Traceback" not in stderr

    stored = count(db)
    ((last,),) = query(db, "SELECT max(seed) FROM rollout")
    outcome = query(db, "SELECT outcome, rollouts FROM session")
    if number == signal.SIGKILL:
        assert outcome == [(None, stored)]
    else:
        assert outcome == [("stopped", stored)]
        last_line = stderr.splitlines()[-1]
        assert last_line.startswith(f"stopped by {number.name}: {stored:,} of 2,000,400 rollouts stored in {db}")
        assert "run the same command again to resume" in last_line

    samples = int(str(last)) - 42 + 2  # the block that was torn, and one seed more
    done = invoke(*command, samples)
    assert f"resuming: {stored:,} of {400 * (samples + 1):,} stored\n" in done.stderr
    uninterrupted = tmp_path / "uninterrupted.db"
    invoke(*command, samples, "--db", uninterrupted)
    assert rows(db) == rows(uninterrupted)
    assert query(db, "PRAGMA integrity_check") == [("ok",)]
    assert query(db, "SELECT count(*) FROM completion") == [(count(db),)], "a text without its rollout"


def _wait_for_rollouts(db: Path, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if db.exists() and query(db, "SELECT 1 FROM sqlite_schema WHERE name = 'rollout'") and count(db) > 1000:
            return
        time.sleep(0.02)
    pytest.fail(f"no rollout was stored in time; the command said: {process.stderr.read() if process.stderr else ''}")


def test_a_completion_that_is_no_utf_8_is_stored_spelled_out(tmp_path: Path, data: Path) -> None:
    script = tmp_path / "broken-text.json"
    script.write_text('{"*": ["half \\ud83d of a pair", "a whole \\ud83d\\ude00"]}')
    db = tmp_path / "e.db"
    assert sample(job(script, data), db).outcome == "done"
    texts = {text for (text,) in query(db, "SELECT DISTINCT text FROM completion")}
    assert texts == {"half \\ud83d of a pair", "a whole \U0001f600"}
