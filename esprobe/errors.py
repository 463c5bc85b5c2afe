"""Errors for people: each message says what is wrong, why it matters, and what to type next.

The command line prints these as one line and exits with ``exit_code``; any other exception is a bug and
surfaces as a traceback.
"""


class EsprobeError(Exception):
    """Base of every error esprobe raises on purpose."""

    exit_code = 1


class UsageError(EsprobeError):
    """An option has a value that no run could mean."""

    exit_code = 2


class DataError(EsprobeError):
    """A data file is missing, unreadable, or not of the form the task needs."""


class ModelError(EsprobeError):
    """A model cannot be found, loaded, or perturbed truly."""


class EngineError(EsprobeError):
    """An engine is missing, or failed while it was generating."""


class PerturbationError(ModelError):
    """Noise did not reach exactly the weights it was meant for, or the weights were not restored."""


class LibraryError(EsprobeError):
    """A library that only this command needs is not installed."""


class StoreError(EsprobeError):
    """A database cannot be opened, read or written."""


class StoreBusyError(StoreError):
    """Another program holds a transaction on the database; it may end by itself."""


class PathError(StoreError):
    """A path that somebody typed cannot be reached, read or written."""


class DatabaseLostError(StoreError):
    """The database that is written to is no longer the file at its path; the message says where its content is now."""


class StoreLockedError(StoreError):
    """Another process is writing to the database."""


class RolloutConflictError(StoreError):
    """A rollout is already stored under the same key with other content."""


class OutputError(EsprobeError):
    """Standard output cannot be written."""


class StoppedError(EsprobeError):
    """A signal asked the run to stop; everything finished so far is stored."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class SetAsideError(EngineError):
    """A run has drawn all but what ended its workers again and again."""

    exit_code = 3


class TaskError(EsprobeError):
    """The code of a task from outside esprobe failed, or returned what the contract of tasks does not allow."""


class TaskContractError(TaskError):
    """A task breaks its contract, which was checked before anything was sampled.

    Attributes:
        violations: a sentence for each.
    """

    def __init__(self, message: str, violations: tuple[str, ...]) -> None:
        super().__init__(message)
        self.violations = violations
