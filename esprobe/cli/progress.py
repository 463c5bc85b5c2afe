"""Progress of a run: a live bar if stderr is a terminal, plain lines if not."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from esprobe.safe_text import plain
from esprobe.sampling.observer import Progress
from esprobe.tables import duration

_LINE_EVERY_S = 10.0
_WIDE = 120


class _Stderr(Console):
    def on_broken_pipe(self) -> None:
        """Raise, so that the observer handles it; Rich would end the process."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class ConsoleObserver:
    """Shows notices, warnings and progress on stderr."""

    def __init__(self) -> None:
        self._console = _Stderr(stderr=True, highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal
        self._broken = False
        # A narrow terminal has no room for a bar: the figures wrap to a second line instead of being cut off.
        wide = self._console.width >= _WIDE
        figures = TextColumn("{task.fields[numbers]}", table_column=Column(no_wrap=wide))
        columns: list[ProgressColumn] = [TextColumn("{task.description}"), figures]
        if wide:
            columns.insert(1, BarColumn(bar_width=None))
        self._bar = Bar(*columns, console=self._console)
        self._task = None if not self._live else self._bar.add_task("", total=1, numbers="", visible=False)
        self._last: Progress | None = None
        self._shown = 0
        self._line_at = -_LINE_EVERY_S

    def __enter__(self) -> Self:
        if self._live:
            self._write(self._bar.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._write(self._bar.stop)
        elif self._last is not None and self._last.done != self._shown:
            self._print(_line(self._last))

    def notice(self, message: str) -> None:
        """Print a line."""
        self._print(message)

    def warning(self, message: str) -> None:
        """Print a highlighted line."""
        self._write(lambda: self._console.print(Text(plain(f"warning: {message}"), style="bold yellow")))

    def progress(self, progress: Progress) -> None:
        """Update the bar, or print a line if the last one is older than 10 seconds."""
        self._last = progress
        if self._task is not None:
            done = f"{progress.done:,}/{progress.total:,}"
            move = partial(self._bar.update, self._task, completed=progress.done, total=progress.total)
            self._write(partial(move, description=done, numbers=plain(_figures(progress)), visible=True))
            return
        now = time.monotonic()
        if now - self._line_at >= _LINE_EVERY_S:
            self._line_at = now
            self._print(_line(progress))
            self._shown = progress.done

    def _print(self, message: str) -> None:
        self._write(lambda: self._console.print(Text(plain(message))))

    def _write(self, write: Callable[[], object]) -> None:
        """Write to stderr until that fails once: a full log disk or a closed pipe must not end a run of days."""
        if self._broken:
            return
        try:
            write()
        except (OSError, ValueError):  # ValueError: the stream was closed
            self._broken = True
            _silence(self._console.file)


def _silence(stream: IO[str]) -> None:
    """Redirect a broken stream to the null device.

    Python flushes it once more at exit; a failure there would turn the exit code of a successful run into 120.
    """
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def _line(progress: Progress) -> str:
    share = progress.done / progress.total
    return f"{progress.done:,} of {progress.total:,} ({share:.1%}), {_figures(progress)}"


def _figures(progress: Progress) -> str:
    """Rates of the whole run, then the results so far of the current condition."""
    per_second = progress.rollouts / progress.elapsed_s if progress.elapsed_s else 0.0
    tokens = progress.tokens / progress.elapsed_s if progress.elapsed_s else 0.0
    left = (progress.total - progress.done) / per_second if per_second else 0.0
    workers = f"{progress.workers} workers, " if progress.workers > 1 else ""
    return (
        f"{workers}{per_second:,.1f} rollouts/s, {tokens:,.0f} tokens/s, ETA {duration(left)}; "
        f"{progress.label}: pass@1 {progress.pass_at_1:.1%}, cut off {progress.cut_off:.1%}"
    )
