"""Files that appear whole or not at all, and what lies beside them."""

import os
import stat
from pathlib import Path

import pytest

from esprobe.atomic_file import replacing
from tests.conftest import Run
from tests.filled import fill, mixed


def test_the_target_is_replaced_at_the_end_of_the_block(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with replacing(target) as draft:
        draft.write_text("new")
        assert target.read_text() == "old"
    assert (target.read_text(), [path.name for path in tmp_path.iterdir()]) == ("new", ["a.txt"])
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as draft:
        draft.write_text("new")
        raise ZeroDivisionError
    assert (target.read_text(), [path.name for path in tmp_path.iterdir()]) == ("old", ["a.txt"])


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (["backup", "copy.db"], "copy.db"),
        (["export", "-o", "rows.jsonl"], "rows.jsonl"),
        (["report", "--no-figures", "-o", "report.md"], "report.md"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_users_file_that_ends_in_part_is_left_alone(
    words: list[str], target: str, esprobe: Run, tmp_path: Path
) -> None:
    fill(tmp_path, mixed(), problems="200:203", samples=2)
    mine = tmp_path / f"{target}.part"
    mine.write_text("mine")
    done = esprobe(*words, "--db", "filled.db")
    assert done.returncode == 0, done.stderr
    assert mine.read_text() == "mine"
    assert (tmp_path / target).exists()
