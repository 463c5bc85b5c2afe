"""A script, a data file and the command that uses them."""

import os
import random
from pathlib import Path

import pytest

from tests.sampling.material import ANSWER, write_data, write_script


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data.json", 50)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return write_script(tmp_path / "script.json", ANSWER, " I am not sure.", " so many words" * 8)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "e.db"


@pytest.fixture
def common(script: Path, data: Path, db: Path) -> list[object]:
    """Options of every sampling command here."""
    return ["--engine", "scripted", "--model", script, "--data", data, "--problems", "0:50", "--db", db]


@pytest.fixture
def chance() -> random.Random:
    """Moments to kill at; the seed is printed with a failure, and set in the environment it comes again."""
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(2**32))
    print(f"the kills of this test come again with KILL_SEED={seed}")
    return random.Random(seed)
