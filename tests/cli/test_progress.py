"""What a run shows while it draws: on terminals of any width, and where stderr is none."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.sampling.material import ANSWER, write_data, write_script

FIGURES = ("rollouts/s", "tokens/s", "ETA", "pass@1", "cut off")


def on_terminal(columns: int, *arguments: object) -> str:
    """What a command writes to a terminal that is its stderr, without the commands to the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "esprobe", *map(str, arguments)]
    environment = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written = b""
        while part := _read(ours):
            written += part
        assert process.wait() == 0
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that nobody holds the other end any more
        return b""


@pytest.mark.parametrize("columns", [60, 80, 119, 120, 200])
def test_every_figure_is_whole_on_a_terminal(tmp_path: Path, columns: int) -> None:
    data, script = write_data(tmp_path / "d.json", 50), write_script(tmp_path / "s.json", ANSWER, "no")
    shown = on_terminal(
        columns,
        *("sample-temp", "--engine", "scripted", "--model", script, "--data", data, "--problems", "0:50"),
        *("--db", tmp_path / "e.db", "-t", "0.8", "--samples", "200"),
    )
    assert "10,050/10,050" in shown
    for figure in FIGURES:
        assert figure in shown.replace("\r\n", " ")
    assert "…" not in shown
