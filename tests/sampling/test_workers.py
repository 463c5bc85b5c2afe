"""Several workers on one machine: what they store, what becomes of those that die, and who is not let in."""

import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from esprobe.engines import EngineOptions
from esprobe.errors import EngineError, ModelError, UsageError
from esprobe.sampling.observer import Progress
from esprobe.sampling.run import Summary, run
from esprobe.sampling.stop import StopSignals
from esprobe.workers.devices import environments
from esprobe.workers.pool import PoolOptions
from esprobe.workers.processes import Processes
from esprobe.workers.supervisor import DEADLY
from esprobe.workers.worker import WorkerSpec
from tests.sampling.material import ANSWER, Watcher, invoke, job, query, rows, write_data

TWO = PoolOptions(workers=2)


def sample(script: Path, data: Path, db: Path, watcher: Watcher | None = None, **changes: object) -> Summary:
    with StopSignals() as stop:
        return run(job(script, data, **({"pool": TWO} | changes)), db, watcher or Watcher(), stop)


def children() -> list[multiprocessing.Process]:
    return [child for child in multiprocessing.active_children() if child.name.startswith("esprobe worker")]  # type: ignore[misc]


# What they store.


@pytest.mark.parametrize("arm", [["sample-temp", "-t", "0.5", "-t", "1"], ["sample-perturb", "--sigma", "0.1"]])
def test_two_workers_store_what_one_does(common: list[object], db: Path, arm: list[str]) -> None:
    command = [*arm, *common, "--samples", "40"]
    done = invoke(*command, "--workers", "2")
    assert done.code == 0, done.stderr
    assert ", 2 workers, " in done.stderr
    invoke(*command, "--db", db.with_name("one.db"))
    assert rows(db) == rows(db.with_name("one.db"))
    ((engine,),) = query(db, "SELECT engine FROM session")
    assert json.loads(str(engine))["workers"] == 2
    assert not children()


def test_a_worker_draws_nothing_twice_and_progress_counts_all(tmp_path: Path, script: Path, data: Path) -> None:
    watcher = Watcher()
    summary = sample(script, data, tmp_path / "e.db", watcher, samples=3000)
    assert (summary.outcome, summary.drawn) == ("done", 30010)
    assert query(tmp_path / "e.db", "SELECT sum(rollouts) FROM work") == [(30010,)]
    assert watcher.seen[-1].done == 30010 and watcher.seen[-1].workers == 2
    assert not watcher.warnings


# Those that die.


def test_killed_workers_are_named_and_started_again_and_nothing_is_missing(
    tmp_path: Path, script: Path, data: Path
) -> None:
    dice, kills, last = random.Random(5), [0], [0.0]

    def kill(progress: Progress) -> None:
        # Not before a new one has had the time to draw: a worker that never does is given up, as it should be.
        if kills[0] < 5 and time.monotonic() - last[0] > 2.5 and (alive := children()):
            dice.choice(alive).kill()
            kills[0] += 1
            last[0] = time.monotonic()

    db, watcher = tmp_path / "e.db", Watcher(kill)
    while kills[0] < 5:
        samples = 16_000 * (1 + kills[0])
        summary = sample(script, data, db, watcher, samples=samples, baseline=False)
        assert (summary.outcome, summary.stored) == ("done", summary.total)
    killed = [warning for warning in watcher.warnings if "was killed by SIGKILL" in warning]
    assert len(killed) in (kills[0], kills[0] - 1), watcher.warnings  # the last may have come when all was drawn
    assert all(warning.startswith("worker ") and "it is restarted" in warning for warning in killed)
    assert query(db, "SELECT count(*), count(DISTINCT seed) FROM rollout") == [(summary.total, summary.total // 10)]


def rests(pid: int) -> bool:
    """Whether a process sleeps, and has used no CPU for half a second."""
    seen = set()
    for _ in range(11):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seen.add((fields[0], fields[11], fields[12]))
        time.sleep(0.05)
    return len(seen) == 1 and seen.pop()[0] == "S"


def test_a_stuck_worker_is_ended_and_its_work_is_drawn_by_others(tmp_path: Path, script: Path, data: Path) -> None:
    stopped: list[int] = []

    def hang(progress: Progress) -> None:
        if len(watcher.seen) == 1:
            # Nobody reads what they send: one comes to wait for room in its pipe, the other, once loaded, for work.
            while not all(rests(child.pid or 0) for child in children()):
                pass
        elif len(watcher.seen) == 4:  # by now that one has been given work, and both would be missed
            stopped.append(children()[0].pid or 0)
            os.kill(stopped[0], signal.SIGSTOP)

    watcher = Watcher(hang)
    pool = replace(TWO, stuck_s=2.0)
    summary = sample(script, data, tmp_path / "e.db", watcher, samples=12000, pool=pool)
    assert (summary.outcome, summary.stored) == ("done", summary.total)
    (warning,) = watcher.warnings
    assert f"process {stopped[0]} " in warning and "is stuck: it has generated nothing for 2 s" in warning


def test_who_was_away_itself_calls_nobody_stuck(tmp_path: Path, script: Path, data: Path) -> None:
    """As after Ctrl-Z and fg: the parent, long away, is back a second before the workers."""
    stopped: list[int] = []

    class Away(StopSignals):
        """Asked whenever the parent has listened; once workers are still, and what they sent is read, it is away."""

        still_at = float("inf")

        def __call__(self) -> bool:
            if time.monotonic() - self.still_at > 1:
                self.still_at = float("inf")
                time.sleep(5)
                threading.Timer(1, lambda: [os.kill(pid, signal.SIGCONT) for pid in stopped]).start()
            return super().__call__()

    def still(progress: Progress) -> None:
        if len(watcher.seen) == 4:
            stopped.extend(child.pid or 0 for child in children())
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            stop.still_at = time.monotonic()

    watcher = Watcher(still)
    asked = job(script, data, samples=12000, pool=replace(TWO, stuck_s=4.0))
    with Away() as stop:
        summary = run(asked, tmp_path / "e.db", watcher, stop)
    assert (summary.outcome, watcher.warnings) == ("done", [])
    assert len(stopped) == 2 and stop.still_at == float("inf")


def test_more_workers_than_a_machine_can_hold_are_refused(common: list[object], db: Path) -> None:
    done = invoke("sample-temp", *common, "-t", "1", "--workers", "1000000")
    assert (done.code, done.stdout) == (2, "")
    cores = os.cpu_count()
    assert f"--workers 1,000,000 do not fit on the {cores} cores " in done.stderr
    assert f"use --workers {cores} or less" in done.stderr
    assert not db.exists() or query(db, "SELECT count(*) FROM session") == [(0,)]


def test_a_worker_that_dies_while_it_loads_is_named_by_its_process(tmp_path: Path, script: Path, data: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        while not (started := children()):
            time.sleep(0.01)
        started[0].kill()
        killed.append(started[0].pid)

    watcher, killer = Watcher(), threading.Thread(target=kill)
    killer.start()
    assert sample(script, data, tmp_path / "e.db", watcher, samples=16).outcome == "done"
    killer.join()
    (warning,) = watcher.warnings
    assert f"(process {killed[0]} on " in warning and "was killed by SIGKILL; it is restarted" in warning


def test_signals_wait_for_the_first_worker_too(tmp_path: Path) -> None:
    """In a program of its own: multiprocessing unblocks signals when it starts its tracker, once in a process."""
    program = """
import signal, sys
from esprobe.engines import EngineOptions
from esprobe.workers.processes import Processes
from esprobe.workers.worker import WorkerSpec

if __name__ == "__main__":
    transport = Processes(WorkerSpec("none", "float32", "scripted", EngineOptions(), "countdown", None, "chat"), [{}])
    transport.start(1)
    with open(f"/proc/{transport._processes[1].pid}/status") as status:
        (blocked,) = (int(line.split()[1], 16) for line in status if line.startswith("SigBlk"))
    transport.kill(1)
    print([number.name for number in signal.Signals if blocked >> (number - 1) & 1])
"""
    path = tmp_path / "program.py"
    path.write_text(program)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("['SIGHUP', 'SIGINT', 'SIGUSR1', 'SIGTERM']\n", "")


def test_a_signal_that_another_thread_receives_leaves_no_worker_half_started(
    script: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = WorkerSpec(str(script), "float32", "scripted", EngineOptions(), "countdown", str(data), "chat")

    def receive(after_s: float) -> None:
        time.sleep(after_s)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    for tried in range(16):  # a process takes some milliseconds to start
        transport = Processes(spec, [{}])
        with pytest.raises(SystemExit), StopSignals():
            other = threading.Thread(target=receive, args=(tried / 1000,))
            other.start()
            try:
                transport.start(1)
                other.join()
                time.sleep(0.1)
            finally:
                transport.kill(1)
                transport.close()
        assert not children()
    time.sleep(0.5)  # one that was left to itself would by now have said that its order never came
    assert "Traceback" not in capfd.readouterr().err


def test_a_unit_that_ends_every_worker_is_set_aside_and_the_exit_code_says_so(tmp_path: Path) -> None:
    data, script, db = write_data(tmp_path / "data.json", 6), tmp_path / "script.json", tmp_path / "e.db"
    # Cut off at the last of its words, the text of problem 3 becomes a list larger than the memory that a process has.
    script.write_text(json.dumps({"*": [ANSWER], "3": [" " * 150_000_000]}))
    common = ["--engine", "scripted", "--model", str(script), "--data", str(data), "--db", str(db), "--workers", "2"]
    arm = ["sample-perturb", "--sigma", "0.1", "--samples", "1", "--no-baseline", "--max-tokens", "149000000"]
    command = [sys.executable, "-m", "esprobe", *arm, *common]
    done = subprocess.run([*command, "--problems", "0:3"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    limited = subprocess.run(
        [*command, "--problems", "0:6"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1_100_000_000, 1_100_000_000)),
    )
    assert limited.returncode == 3, limited.stderr
    assert "MemoryError" in limited.stderr  # the worker's own words
    assert f"this has ended {DEADLY} workers in a row and is set aside" in limited.stderr
    last = limited.stderr.splitlines()[-1]
    assert last.startswith("error: 3 rollouts are missing")
    assert "sigma=0.1, seed 42, problems 3 to 5." in last
    assert query(db, "SELECT outcome FROM session ORDER BY id") == [("done",), ("failed",)]
    assert query(db, "SELECT count(*) FROM rollout") == [(3,)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_signal_to_the_whole_group_stops_a_run_with_everything_stored(
    common: list[object], db: Path, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "esprobe", "sample-temp", *map(str, common), "-t", "1", "--workers", "2"]
    with subprocess.Popen(
        [*command, "--samples", "100000"], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        until = time.monotonic() + 60
        while not (db.exists() and query(db, "SELECT 1 FROM sqlite_schema WHERE name = 'rollout'") and _count(db)):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err and "warning" not in err
    assert f"stopped by {number.name}" in err
    assert query(db, "SELECT outcome, rollouts FROM session") == [("stopped", _count(db))]


def _count(db: Path) -> int:
    ((number,),) = query(db, "SELECT count(*) FROM rollout")
    assert isinstance(number, int)
    return number


# Who is not let in.


def other_versions(folder: Path, script: Path, data: Path) -> None:
    there = folder / "site" / "numpy-0.0.1.dist-info"
    there.mkdir()
    (there / "METADATA").write_text("Name: numpy\nVersion: 0.0.1\n")


def other_weights(folder: Path, script: Path, data: Path) -> None:
    script.write_text(json.dumps({"*": ["another model behind the same name"]}))


def other_data(folder: Path, script: Path, data: Path) -> None:
    write_data(data, 49)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (other_versions, f"numpy is 0.0.1 there and {version('numpy')} here"),
        (other_weights, "the weights behind the model's name differ"),
        (other_data, "the data differ"),
    ],
)
def test_a_worker_that_finds_something_else_is_refused_before_it_draws(
    tmp_path: Path,
    script: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, Path, Path], None],
    told: str,
) -> None:
    """What the command has found is changed under it, between its own look and that of its workers."""
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")

    class Changer(Watcher):
        def notice(self, message: str) -> None:
            super().notice(message)
            if message.startswith("loading"):
                change(tmp_path, script, data)

    watcher = Changer()
    with pytest.raises(EngineError, match="none of the 2 workers is left"):
        sample(script, data, tmp_path / "e.db", watcher)
    assert len(watcher.warnings) == 2
    assert all("is rejected before it draws anything" in told_ and told in told_ for told_ in watcher.warnings)
    assert query(tmp_path / "e.db", "SELECT count(*) FROM rollout") == [(0,)]
    assert query(tmp_path / "e.db", "SELECT count(*) FROM session") == [(0,)]


def test_a_worker_that_cannot_load_is_given_up_and_the_others_draw_on(tmp_path: Path, script: Path, data: Path) -> None:
    """Its model is gone from its machine: here when it comes to take the place of one that was killed."""
    killed: list[multiprocessing.Process] = []

    def kill(progress: Progress) -> None:
        if not killed and len(children()) == 2 and len(watcher.seen) > 20:
            script.unlink()
            killed.append(children()[0])
            killed[0].kill()

    watcher = Watcher(kill)
    summary = sample(script, data, tmp_path / "e.db", watcher, samples=30_000, baseline=False)
    assert killed and (summary.outcome, summary.stored) == ("done", summary.total)
    assert any("was killed by SIGKILL" in warning for warning in watcher.warnings)
    (given_up,) = [warning for warning in watcher.warnings if "cannot load" in warning]
    assert given_up.startswith("worker ") and "(process " in given_up and str(script) in given_up


def test_where_no_worker_can_load_the_reason_is_the_error(tmp_path: Path, script: Path, data: Path) -> None:
    class Remover(Watcher):
        def notice(self, message: str) -> None:
            if message.startswith("loading"):
                script.unlink()

    watcher = Remover()
    with pytest.raises(ModelError, match=str(script)):
        sample(script, data, tmp_path / "e.db", watcher)
    assert not children()


# Who gets which device.


def test_each_worker_has_gpus_of_its_own() -> None:
    devices = ["0", "1", "2", "3", "4"]
    assert environments(devices, None, 1, 2) == [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}]
    shared = environments(["GPU-a", "GPU-b"], None, 2, 1)
    assert [env["CUDA_VISIBLE_DEVICES"] for env in shared] == ["GPU-a", "GPU-b", "GPU-a", "GPU-b"]
    with pytest.raises(UsageError, match="--workers 3 do not fit on the 2 visible GPUs"):
        environments(["0", "1"], 3, 1, 1)
    with pytest.raises(UsageError, match="--tensor-parallel-size 2 needs 2 GPUs, and 1"):
        environments(["0"], None, 1, 2)


def test_workers_without_gpus_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert environments([], 3, 1, 1) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert len(environments([], None, 1, 1)) == 1
