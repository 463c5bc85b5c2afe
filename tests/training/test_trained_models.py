"""Models that a run leads to, in every command that takes a model: the bundled model on the transformers engine."""

import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest
from safetensors import safe_open

from esprobe.models import find_lineage
from tests.conftest import run_esprobe
from tests.sampling.material import query
from tests.training.material import iterations

TRAIN = [
    *("train-es", "--model", "tiny", "--problems", "0:12", "--eval-problems", "200:212", "--population", 4),
    *("--iterations", 3, "--eval-every", 3, "--sigma", 0.004, "--alpha", 0.006, "--max-tokens", 32, "--batch-size", 8),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("trained")
    done = run_esprobe(made, *TRAIN, "--db", "es.db")
    assert done.returncode == 0, done.stderr
    return made


def weights(checkpoint: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in sorted(file.keys()):
                digest.update(name.encode() + file.get_tensor(name).numpy().tobytes())
    return digest.hexdigest()


def greedy(database: Path, model: str) -> list[tuple[object, ...]]:
    sql = "SELECT problem, completion FROM rollouts WHERE kind = 'greedy' AND model LIKE ? ORDER BY problem"
    return query(database, sql, f"%{model}")


def test_the_evaluated_model_is_the_saved_checkpoint(folder: Path) -> None:
    saved = run_esprobe(folder, "save-model", "saved", "--model", "es.db:1@3")
    assert saved.returncode == 0 and "1,020,288 scalars trained" in saved.stdout
    command = ["sample-temp", "--problems", "200:212", "--samples", 2, "-t", 0.8, "--max-tokens", 32, "--batch-size", 8]
    assert run_esprobe(folder, *command, "--model", "saved", "--db", "saved.db").returncode == 0
    assert greedy(folder / "saved.db", "saved") == greedy(folder / "es.db", "es.db:1@3")
    by_name = run_esprobe(folder, *command, "--model", "es.db:1@3", "--db", "es.db")
    assert by_name.returncode == 0 and "36 rollouts" in by_name.stdout, by_name.stderr
    # Its greedy evaluation was drawn in training: only the 24 samples are new.
    assert "(24 now)" in by_name.stdout
    drawn = "SELECT count(*) FROM rollouts WHERE kind = 'temperature' AND model = 'es.db:1@3'"
    assert query(folder / "es.db", drawn) == [(24,)]


def test_a_perturbation_of_a_trained_model_is_that_of_its_checkpoint(folder: Path) -> None:
    assert run_esprobe(folder, "save-model", "plain", "--model", "es.db:1").returncode == 0
    noisy = ["--sigma", 0.01, "--seed", 5]
    assert run_esprobe(folder, "save-model", "one", "--model", "es.db:1@3", *noisy).returncode == 0
    assert run_esprobe(folder, "save-model", "other", "--model", "plain", *noisy).returncode == 0
    assert weights(folder / "one") == weights(folder / "other") != weights(folder / "plain")


def test_iteration_0_is_the_base(folder: Path) -> None:
    assert run_esprobe(folder, "save-model", "base", "--model", "es.db:1@0").returncode == 0
    assert run_esprobe(folder, "save-model", "still", "--model", "tiny", "--sigma", 0, "--seed", 0).returncode == 0
    assert weights(folder / "base") == weights(folder / "still")


def test_training_goes_on_from_a_trained_model(folder: Path) -> None:
    command = list(TRAIN)
    command[2] = "es.db:1@3"
    done = run_esprobe(folder, *command, "--seed", 7, "--db", "further.db")
    assert done.returncode == 0, done.stderr
    assert len(iterations(folder / "further.db")) == 3
    models = {model for (model,) in query(folder / "further.db", "SELECT DISTINCT model FROM rollouts")}
    assert models == {"es.db:1@3", "further.db:1@3"}
    lineage = find_lineage(str(folder / "further.db") + ":1")
    assert lineage is not None and lineage.below is not None and lineage.root == "tiny"
    saved = run_esprobe(folder, "save-model", "twice", "--model", "further.db:1@3")
    assert saved.returncode == 0, saved.stderr
    few = ["--problems", "200:212", "--samples", 1, "-t", 1, "--max-tokens", 32, "--batch-size", 8]
    for name, model in (("further.db", "further.db:1@3"), ("twice.db", "twice")):
        done = run_esprobe(folder, "sample-temp", *few, "--model", model, "--db", name)
        assert done.returncode == 0, done.stderr
    # The engine that goes through both trainings, and the checkpoint.
    trained = greedy(folder / "further.db", "further.db:1@3")
    assert len(trained) == 12 and trained == greedy(folder / "twice.db", "twice")


def test_a_damaged_snapshot_changes_nothing(folder: Path) -> None:
    """A run of seconds writes none by itself, so one of another content is put where one would be."""
    lineage = find_lineage(str(folder / "es.db") + ":1")
    assert lineage is not None
    snapshots = Path(lineage.snapshots)
    snapshots.mkdir(exist_ok=True)
    (snapshots / f"{lineage.trajectory.digest}.safetensors").write_bytes(b"no snapshot")
    assert run_esprobe(folder, "save-model", "clean", "--model", "es.db:1").returncode == 0
    assert run_esprobe(folder, "save-model", "again", "--model", "es.db:1@3").returncode == 0
    assert weights(folder / "clean") == weights(folder / "again")


def test_other_weights_than_those_of_the_training_are_refused(folder: Path) -> None:
    """What is recorded of iteration 1's weights is changed, as if they had been others in the training."""
    shutil.copy(folder / "es.db", folder / "other.db")
    with sqlite3.connect(folder / "other.db") as connection:
        connection.execute("UPDATE iteration SET state = 'f' || substr(state, 2) WHERE iteration = 1")
    connection.close()
    for command in (["save-model", "x"], ["doctor"]):
        done = run_esprobe(folder, *command, "--model", "other.db:1@1")
        assert done.returncode == 1 and "other weights" in done.stderr
    assert not (folder / "x").exists()
    assert run_esprobe(folder, "save-model", "y", "--model", "other.db:1@2").returncode == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("es.db:1@4", "has 3 iterations"),
        ("es.db:2", "no training run 2; it has: 1"),
        *((f"es.db:{digit}@1", f"no training run {digit}") for digit in range(2, 10)),
        ("es.db:1@x", "FILE:RUN@ITERATION"),
        ("gone.db:1@2", "there is no such file"),
    ],
)
def test_names_that_lead_nowhere(folder: Path, name: str, message: str) -> None:
    for command in (["save-model", "x"], ["sample-temp", "--db", "x.db"], ["doctor"]):
        done = run_esprobe(folder, *command, "--model", name)
        assert done.returncode in (1, 2) and message in done.stderr
    assert not (folder / "x.db").exists()


def test_a_base_beside_the_database_is_found_from_anywhere(folder: Path, tmp_path: Path) -> None:
    assert run_esprobe(folder, "save-model", "near", "--model", "tiny", "--sigma", 0.001, "--seed", 1).returncode == 0
    few = [*TRAIN[3:9], "--population", 2, "--iterations", 1, "--eval-every", 0, "--max-tokens", 8]
    assert run_esprobe(folder, "train-es", "--model", "near", *few, "--db", "near.db").returncode == 0
    saved = run_esprobe(tmp_path, "save-model", "out", "--model", f"{folder}/near.db:1")
    assert saved.returncode == 0, saved.stderr
    (folder / "near").rename(folder / "moved")
    lost = run_esprobe(folder, "save-model", "lost", "--model", "near.db:1")
    assert lost.returncode == 1 and "near.db:1 was trained from" in lost.stderr


def test_another_dtype_is_another_model(folder: Path) -> None:
    done = run_esprobe(folder, "save-model", "x", "--model", "es.db:1", "--dtype", "float16")
    assert done.returncode == 2 and "float32" in done.stderr


def test_doctor_examines_a_trained_model(folder: Path) -> None:
    done = run_esprobe(folder, "doctor", "--model", "es.db:1@3")
    assert done.returncode == 0 and "es.db:1@3" in done.stdout, done.stderr


def test_plan_and_scan_take_one(folder: Path) -> None:
    few = ["--model", "es.db:1@3", "--problems", "200:204", "--max-tokens", 16]
    planned = run_esprobe(folder, "plan", *few, "-t", 0.8, "--samples", 4, "--db", "es.db")
    assert planned.returncode == 0, planned.stderr
    done = run_esprobe(folder, "scan", *few, "--space", "token", "--samples", 1, "--points", 2, "--db", "scan.db")
    assert done.returncode == 0, done.stderr
