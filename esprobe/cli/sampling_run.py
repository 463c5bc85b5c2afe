"""Runs a sampling job from the command line: progress on stderr, stopped by signals."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from esprobe.errors import StoppedError

if TYPE_CHECKING:
    from esprobe.sampling.job import Job
    from esprobe.sampling.run import Summary


def draw(job: "Job", db: Path) -> "Summary":
    """Draw the rollouts that the job asks for and the database lacks.

    Raises:
        StoppedError: a signal stopped it.
    """
    from esprobe.sampling.stop import StopSignals

    with StopSignals() as stop:
        from esprobe.cli.progress import ConsoleObserver
        from esprobe.sampling.run import run

        with ConsoleObserver() as observer:
            summary = run(job, db, observer, stop)
    if summary.outcome == "stopped":
        assert stop.received is not None
        raise StoppedError(
            f"stopped by {stop.received.name}: {stored(summary, db)}, nothing is lost; run the same command again to "
            f"resume",
            stop.exit_code,
        )
    return summary


def stored(summary: "Summary", db: Path) -> str:
    """How many of the planned rollouts are stored, in words."""
    from esprobe.safe_text import plain

    return f"{summary.stored:,} of {summary.total:,} rollouts stored in {plain(str(db))}"


def command_line() -> str:
    """The command as it was typed, quoted for a shell."""
    return shlex.join(["esprobe", *sys.argv[1:]])
