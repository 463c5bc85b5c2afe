"""Two vLLM workers on one machine share a model: the noise is that of one worker's. Needs two cores."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Run

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
ARM = ["sample-perturb", "--model", "tiny", "--engine", "vllm", "--sigma", "0.005", "--samples", "2"]
ARM += ["--problems", "200:240", "--max-tokens", "24", "--max-num-seqs", "40"]


def texts(database: Path) -> list[tuple[int, int, str]]:
    query = "SELECT seed, problem, completion FROM rollouts ORDER BY 1, 2"
    with sqlite3.connect(database) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.mark.skipif(len(CORES) < 2, reason="two workers need two cores")
def test_two_workers_sample_the_models_of_one(process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row shards, column shards and norms that both workers hold: a wrong number anywhere would change the answers."""
    assert process(*ARM, "--db", "one.db").returncode == 0
    # Without this the CPU build wants a NUMA node for each worker.
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", f"{CORES[0]}|{CORES[1]}")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    done = process(*ARM, "--db", "two.db", "--tensor-parallel-size", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1,020,288 of 1,020,288 scalars touched" in done.stderr
    one, two = texts(tmp_path / "one.db"), texts(tmp_path / "two.db")
    assert [key[:2] for key in one] == [key[:2] for key in two]
    agreed = sum(a == b for a, b in zip(one, two, strict=True))
    assert agreed >= 0.95 * len(one)  # sums are made in another order, so that a tie may fall the other way
    assert len({text for _, _, text in one}) > 20
