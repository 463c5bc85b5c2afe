"""What a session records of its workers' devices, and the warnings where one condition mixes kinds of them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from esprobe.records import several_devices
from esprobe.sampling.observer import Progress
from esprobe.workers.provenance import describe_gpus, device
from tests.sampling.material import Watcher, invoke, query, write_data
from tests.sampling.test_workers import children, sample

H100 = ["NVIDIA H100 80GB HBM3", "9.0", "81559", "570.86.15"]
A100 = ["NVIDIA A100-SXM4-40GB", "8.0", "40960", "570.86.15"]


def hardware(db: Path) -> dict[str, Any]:
    (*_, (stored,)) = query(db, "SELECT hardware FROM session ORDER BY id")
    found: dict[str, Any] = json.loads(str(stored))
    return found


def test_one_worker_is_recorded_with_its_device_and_engine(common: list[object], db: Path) -> None:
    assert invoke("sample-temp", *common, "-t", "1", "--samples", "2").code == 0
    stored = hardware(db)
    assert {"platform", "machine", "cpus"} < stored.keys()
    (worker,) = stored["workers"]
    assert worker["place"].startswith("process ") and worker["device"] == device()["device"]
    assert worker["engine"]["engine"] == "scripted"


def test_workers_that_join_later_are_recorded_too(tmp_path: Path, script: Path, data: Path) -> None:
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if not killed and len(hardware(db).get("workers", [])) == 2:
            killed.append(children()[0].pid or 0)
            children()[0].kill()

    db = tmp_path / "e.db"
    summary = sample(script, data, db, Watcher(kill), samples=30_000, baseline=False)
    assert (summary.outcome, len(killed)) == ("done", 1)
    places = [worker["place"] for worker in hardware(db)["workers"]]
    assert len(places) == len(set(places)) == 3  # two, and the one that took the killed one's place


def test_kinds_of_gpus_that_mix_are_reported_at_a_resume_and_a_merge(tmp_path: Path, script: Path) -> None:
    data, one, two = write_data(tmp_path / "data.json", 4), tmp_path / "one.db", tmp_path / "two.db"
    common = ["--engine", "scripted", "--model", script, "--data", data, "-t", "1", "--samples", "4", "--no-baseline"]
    assert invoke("sample-temp", *common, "--problems", "0:2", "--db", one).code == 0
    assert "kinds of devices" not in invoke("sample-temp", *common, "--problems", "0:3", "--db", one).stderr
    with closing(sqlite3.connect(one)) as connection, connection:
        workers = json.dumps([{"device": H100[0], "gpus": 1}])
        connection.execute("UPDATE session SET hardware = json_set(hardware, '$.workers', json(?))", (workers,))
    resumed = invoke("sample-temp", *common, "--problems", "0:4", "--db", one)
    (warning,) = [line for line in resumed.stderr.splitlines() if "kinds of devices" in line]
    assert H100[0] in warning and "CPU" in warning
    assert invoke("sample-temp", *common, "--problems", "0:4", "--db", two).code == 0
    merged = [invoke("merge", path, "--into", tmp_path / "c.db").stderr for path in (two, one)]
    assert ["kinds of devices" in said for said in merged] == [False, True], merged


def test_files_from_before_workers_were_recorded_do_not_warn(common: list[object], db: Path) -> None:
    assert invoke("sample-temp", *common, "-t", "1", "--samples", "2").code == 0
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE session SET hardware = json_remove(hardware, '$.workers')")
    assert "kinds of devices" not in invoke("sample-temp", *common, "-t", "1", "--samples", "3").stderr


def test_processors_of_several_kinds_are_one_kind_of_device() -> None:
    xeon, epyc, gpu = {"device": "Xeon"}, {"device": "EPYC"}, {"device": "H100", "gpus": 1}
    assert several_devices([xeon, epyc]) == several_devices([gpu, gpu]) == several_devices([]) == []
    assert several_devices([xeon, gpu, epyc]) == ["CPU", "H100"]


@pytest.mark.parametrize(
    ("visible", "name", "gpus"),
    [
        (["0"], H100[0], 1),
        (["1", "2"], A100[0], 2),
        (["GPU-bb"], A100[0], 1),
        (["0", "1"], f"{H100[0]} + {A100[0]}", 2),
    ],
)
def test_gpus_are_those_that_the_worker_sees(visible: list[str], name: str, gpus: int) -> None:
    rows = [["0", "GPU-aa1", *H100], ["1", "GPU-bb2", *A100], ["2", "GPU-cc3", *A100]]
    found = describe_gpus(rows, visible)
    assert (found["device"], found["gpus"]) == (name, gpus)
    assert found["driver"] == "570.86.15" and found["memory_mib"] in (81559, 40960)


def test_gpus_that_the_driver_names_in_another_way_are_left_to_torch() -> None:
    assert describe_gpus([["0", "GPU-aa1", *H100]], ["MIG-1234"]) == {}
