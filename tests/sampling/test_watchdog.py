"""An engine that hangs in this process: it is reported in one line, the process ends, and what was stored is kept."""

import subprocess
import sys
from pathlib import Path

import pytest

from esprobe.errors import UsageError
from esprobe.workers.pool import PoolOptions
from esprobe.workers.watchdog import STUCK_EXIT_CODE
from tests.sampling.material import query

PROGRAM = '''
import sys, time
from pathlib import Path
from esprobe.engines import EngineEntry, EngineTraits
from esprobe.engines.registry import BUILT_IN
from esprobe.engines.scripted import ScriptedEngine
from esprobe.sampling.run import run
from esprobe.sampling.stop import StopSignals
from esprobe.workers.pool import PoolOptions
from tests.sampling.material import Watcher, job

class Hanging(ScriptedEngine):
    """Hangs while it loads or generates; ``busy`` takes as long, but asks at every step whether to stop."""

    @classmethod
    def load(cls, identity, options):
        if sys.argv[1] == "loading":
            time.sleep(60)
        return super().load(identity, options)

    def generate(self, requests, stop):
        for _ in range(40 if sys.argv[1] == "busy" else 0):
            time.sleep(0.1)
            stop()
        if sys.argv[1] == "generating":
            time.sleep(60)
        yield from super().generate(requests, stop)

BUILT_IN["hanging"] = EngineEntry("hanging", "__main__:Hanging", traits=EngineTraits(has_weights=False, uses_gpu=False))

class Slow(Watcher):
    """A consumer that takes longer than an engine may be silent."""
    def progress(self, progress):
        super().progress(progress)
        if sys.argv[1] == "consumer":
            time.sleep(4)

pool = PoolOptions(stuck_s=2, loading_s=2)
samples = int(sys.argv[2])
asked = job(Path("script.json"), Path("data.json"), engine="hanging", samples=samples, pool=pool, baseline=False)
with StopSignals() as stop:
    print(run(asked, Path("e.db"), Slow(), stop).outcome)
'''


def ran(mode: str, folder: Path, samples: int = 4) -> "subprocess.CompletedProcess[str]":
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", mode, str(samples)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)


def test_an_engine_that_generates_nothing_ends_the_process(tmp_path: Path, script: Path, data: Path) -> None:
    assert ran("healthy", tmp_path, samples=2).stdout == "done\n"
    done = ran("generating", tmp_path)
    assert (done.returncode, done.stdout) == (STUCK_EXIT_CODE, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the engine, drawing T=1, seeds 44 to 45, ") and "no progress for 2 s" in line
    assert query(tmp_path / "e.db", "SELECT count(*) FROM rollout") == [(20,)]
    resumed = ran("healthy", tmp_path)
    assert resumed.stdout == "done\n", resumed.stderr
    assert query(tmp_path / "e.db", "SELECT count(*) FROM rollout") == [(40,)]


def test_an_engine_that_never_loads_ends_the_process(tmp_path: Path, script: Path, data: Path) -> None:
    done = ran("loading", tmp_path)
    assert done.returncode == STUCK_EXIT_CODE, done.stderr
    assert f"loading {script.name} is stuck" in done.stderr


@pytest.mark.parametrize("mode", ["busy", "consumer"])
def test_what_is_slow_is_not_stuck(mode: str, tmp_path: Path, script: Path, data: Path) -> None:
    done = ran(mode, tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_timeouts_that_no_run_could_use(seconds: float) -> None:
    with pytest.raises(UsageError, match="--stuck-timeout must be a positive number of seconds, got"):
        PoolOptions(stuck_s=seconds)
    with pytest.raises(UsageError, match="--load-timeout must be a positive number of seconds, got"):
        PoolOptions(loading_s=seconds)
