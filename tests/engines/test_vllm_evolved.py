"""Training in engines of other kinds than test_vllm.py's: with a prefix cache, and on two workers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

REPOSITORY = Path(__file__).parent.parent.parent
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def told(*arguments: str, **changes: str) -> dict[str, list[float]]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "VLLM_CPU_KVCACHE_SPACE": "1", **changes}
    command = [sys.executable, "-m", "tests.engines.vllm_evolved", *arguments]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[float]] = json.loads(done.stdout.split("told:")[1].splitlines()[0])
    return found


def test_no_cached_prefix_survives_training() -> None:
    """Loaded for token space, as a trained model is that is sampled at a temperature."""
    held = told("1", "caches")
    assert held["states"] == [True] * 4
    assert min(held["agreed"]) >= 0.9
    assert held["models"] == 3


@pytest.mark.storm
@pytest.mark.skipif(len(CORES) < 2, reason="two workers need two cores")
def test_two_workers_train_the_model_of_one() -> None:
    held = told("2", "perturbs", VLLM_CPU_OMP_THREADS_BIND=f"{CORES[0]}|{CORES[1]}")
    assert held["states"] == [True] * 4
    assert min(held["agreed"]) >= 0.9
    assert held["models"] == 3
