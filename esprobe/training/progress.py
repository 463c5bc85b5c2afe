"""Progress of a training run, from that of the sampling loop, which knows one iteration at a time."""

from dataclasses import replace

from esprobe.sampling.observer import Observer, Progress


class RunProgress:
    """An observer of one iteration's sampling that reports on the whole run."""

    def __init__(self, observer: Observer, iterations: int, total: int) -> None:
        """Wrap ``observer``.

        Args:
            observer: receives everything.
            iterations: that the run shall have.
            total: rollouts of all of them and their evaluations.
        """
        self._observer = observer
        self._iterations = iterations
        self._total = total
        self._done = 0
        self._elapsed_s = 0.0
        self._rollouts = 0
        self._tokens = 0
        self._label = ""
        self._last: Progress | None = None

    def begin(self, iteration: int, stored: int) -> None:
        """What follows belongs to this iteration, of which ``stored`` rollouts are there already."""
        self._done += stored
        if self._last is not None:
            self._elapsed_s += self._last.elapsed_s
            self._rollouts += self._last.rollouts
            self._tokens += self._last.tokens
            self._last = None
        last = iteration == self._iterations
        self._label = "last evaluation" if last else f"iteration {iteration + 1:,} of {self._iterations:,}"

    def notice(self, message: str) -> None:
        """Pass it on."""
        self._observer.notice(message)

    def warning(self, message: str) -> None:
        """Pass it on."""
        self._observer.warning(message)

    def progress(self, progress: Progress) -> None:
        """Report the same for the whole run."""
        self._last = progress
        rollouts = self._rollouts + progress.rollouts  # this session's; the others are in self._done
        self._observer.progress(
            replace(
                progress,
                done=self._done + rollouts,
                total=self._total,
                elapsed_s=self._elapsed_s + progress.elapsed_s,
                rollouts=rollouts,
                tokens=self._tokens + progress.tokens,
                label=self._label,
            )
        )
