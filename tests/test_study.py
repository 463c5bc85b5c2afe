"""docs/study.md shows what docs/study.py prints."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY


def test_the_page_shows_what_its_command_prints(published: Path) -> None:
    command = [sys.executable, "docs/study.py", str(published)]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert len(json.loads(published.read_text())) == 2200
    page = (REPOSITORY / "docs" / "study.md").read_text()
    table, lines = printed.split("\n\n")
    assert table in page and lines.strip() in page
