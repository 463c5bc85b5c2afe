"""Running a sampling job from the command line: watched on stderr, and stopped by signals."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from esprobe.errors import StoppedError

if TYPE_CHECKING:
    from esprobe.sampling.job import Job
    from esprobe.sampling.run import Summary


def draw(job: "Job", db: Path) -> "Summary":
    """Draw what the job asks for and the database lacks.

    Raises:
        StoppedError: a signal came first.
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
            f"stopped by {stop.received.name}: {stored(summary, db)}, nothing is lost; the same command again goes on",
            stop.exit_code,
        )
    return summary


def stored(summary: "Summary", db: Path) -> str:
    """How much of what was planned is stored."""
    from esprobe.report.text import plain

    return f"{summary.stored:,} of {summary.total:,} rollouts stored in {plain(str(db))}"


def typed() -> str:
    """The command as it was typed."""
    return shlex.join(["esprobe", *sys.argv[1:]])
