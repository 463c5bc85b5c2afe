"""The same workers as Ray actors: on this machine, and on two nodes of which one is killed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run, run_process
from tests.sampling.kills import descendants, running, stored
from tests.sampling.material import query, rows
from tests.training.material import iterations

pytestmark = pytest.mark.ray

MODEL = ["--model", "tiny", "--problems", "200:232", "--max-tokens", "32", "--batch-size", "16"]
ARMS = {
    "token space": ["sample-temp", "-t", "0.8", *MODEL],
    "weight space": ["sample-perturb", "--sigma", "0.005", *MODEL],
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], list[tuple[object, ...]]]:
    """What one worker without Ray stores."""
    folder = tmp_path_factory.mktemp("alone")
    kept: dict[tuple[str, int], list[tuple[object, ...]]] = {}

    def undisturbed(arm: str, samples: int) -> list[tuple[object, ...]]:
        if (arm, samples) not in kept:
            db = folder / f"{len(kept)}.db"
            done = run_process(folder, *ARMS[arm], "--samples", samples, "--db", db)
            assert done.returncode == 0, done.stderr
            kept[arm, samples] = rows(db)
        return kept[arm, samples]

    return undisturbed


def descendants_called(process: "subprocess.Popen[str]", title: str) -> list[int]:
    """Ray's workers below a command; their titles say what they are at."""
    return [pid for pid, line in descendants(process.pid).items() if line.startswith(title)]


def test_a_lost_actor_is_started_again_and_nothing_is_missing(
    tmp_path: Path, alone: Callable[[str, int], list[tuple[object, ...]]]
) -> None:
    db = tmp_path / "e.db"
    command: list[object] = [*ARMS["token space"], "--samples", 128, "--ray", "local", "--workers", "2"]
    with running(command, db, 48) as process:
        actors = descendants_called(process, "ray::Actor")
        assert len(actors) == 2
        # The other one may still be loading, and so has not said yet which process it is.
        while not (drawing := descendants_called(process, "ray::Actor.draw")):
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(drawing[0], signal.SIGKILL)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f"(process {drawing[0]} on " in err and "it is restarted" in err, err
    assert rows(db) == alone("token space", 128)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_stops_a_run_on_ray_with_everything_stored_and_no_process_left(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    db = tmp_path / "e.db"
    with running([*ARMS["token space"], "--samples", "4000", "--ray", "local", "--workers", "2"], db, 32) as process:
        cluster = descendants(process.pid)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert f"stopped by {number.name}" in err and "Traceback" not in err
    assert query(db, "SELECT outcome, rollouts FROM session") == [("stopped", stored(db))]
    until = time.monotonic() + 20
    while left := [line for pid, line in cluster.items() if Path(f"/proc/{pid}/cmdline").exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.2)


def test_of_two_nodes_one_is_killed_and_the_other_draws_the_rest(
    tmp_path: Path, alone: Callable[[str, int], list[tuple[object, ...]]]
) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
    try:
        other = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        db = tmp_path / "e.db"
        command: list[object] = [*ARMS["weight space"], "--samples", 96, "--ray", cluster.address, "--workers", "2"]
        with running(command, db, 64) as process:
            there = other.all_processes["raylet"][0].process.pid
            assert any(line.startswith("ray::Actor") for line in descendants(there).values())
            cluster.remove_node(other, allow_graceful=False)
            _, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
        assert " is lost (" in err
        assert rows(db) == alone("weight space", 96)
    finally:
        cluster.shutdown()


def test_a_lost_actor_of_a_training_run_changes_no_bit_of_the_model(tmp_path: Path) -> None:
    command: list[object] = [
        *("train-es", "--model", "tiny", "--problems", "0:32", "--eval-problems", "200:232", "--population", 4),
        *("--iterations", 6, "--eval-every", 6, "--sigma", 0.004, "--alpha", 0.006, "--max-tokens", 32),
    ]
    db, undisturbed = tmp_path / "e.db", tmp_path / "undisturbed.db"
    with running([*command, "--ray", "local", "--workers", "2"], db, 150) as process:
        while not (drawing := descendants_called(process, "ray::Actor.draw")):
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(drawing[0], signal.SIGKILL)
        _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "it is restarted" in err, err
    assert run_process(tmp_path, *command, "--db", undisturbed).returncode == 0
    assert iterations(db) == iterations(undisturbed)


def test_what_is_no_address_is_an_error_for_people(process: Run, script: Path) -> None:
    done = process("sample-temp", "--engine", "scripted", "--model", str(script), "-t", "1", "--ray", "cluster")
    assert done.returncode == 2
    assert "--ray 'cluster' is not an address" in done.stderr.splitlines()[-1]


def test_an_address_at_which_no_cluster_is_is_an_error_for_people(process: Run, script: Path) -> None:
    done = process("sample-temp", "--engine", "scripted", "--model", script, "--debug", "--ray", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no Ray cluster answers at '127.0.0.1:1'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
