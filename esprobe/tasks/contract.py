"""Whether a task from outside esprobe keeps the contract, found out before a model is loaded."""

import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from esprobe.errors import EsprobeError, TaskContractError, TaskError
from esprobe.spec import Problem, Prompt, Score
from esprobe.tasks import BUILT_IN, is_task_file
from esprobe.tasks.base import DataSet, SlowScored, Task
from esprobe.tasks.guarded import GuardedTask
from esprobe.tasks.judging import checked

_PROBLEMS = 20
_LIMIT_S = 2.0
_MOST_VIOLATIONS = 20

TEXTS = (
    ("an empty text", ""),
    ("junk", "\x00<answer>\n\\frac{1}{0} \U0001f600 (((((((((( 1e999 NaN </answer> \u202e -- ''' \"\"\" %s {0}"),
    ("a text of 1 MB", "<answer> 1 + 2 " * (1_000_000 // 15)),
)
"""What every scorer must take, with its name: models write anything."""


def check_contract(task: Task, asked: str, data: DataSet, style: str, scorer: str) -> None:
    """Check a task from outside esprobe, on a few of its problems; esprobe's own are tested with it.

    Args:
        task: the task.
        asked: the name that it was loaded under.
        data: the data set that is about to be sampled.
        style: the prompt style.
        scorer: the scorer.

    Raises:
        TaskContractError: what is wrong, a line each.
    """
    if not isinstance(task, GuardedTask):
        return
    found = list(_violations(task, asked, data, style, scorer))
    if found:
        shown = tuple(found[:_MOST_VIOLATIONS])
        more = f" (the first {len(shown)} of {len(found)})" if len(found) > len(shown) else ""
        raise TaskContractError(
            f"task {task.name} does not keep the contract of tasks{more}, so nothing was loaded or sampled; correct "
            f"it, and run the same command again",
            shown,
        )


def _violations(task: GuardedTask, asked: str, data: DataSet, style: str, scorer: str) -> Iterator[str]:
    yield from _about_names(task, asked)
    if not isinstance(data, DataSet):
        yield f"data_set returned {_short(data)}, not a DataSet"
        return
    if not (isinstance(data.digest, str) and data.digest):
        yield f"data_set: digest is {_short(data.digest)}, not a text such as digest_of(rows)"
    count = len(data.problems)
    if not count:
        yield f"data_set: {data.source} has no problems"
    chosen = sorted({index * (count - 1) // (_PROBLEMS - 1) for index in range(_PROBLEMS)}) if count else []
    for number, index in enumerate(chosen):
        problem = data.problems[index]
        if wrong := list(_about_problem(problem, index)):
            yield from wrong
            continue
        yield from _caught(lambda problem=problem: _about_prompt(task, problem, style))  # type: ignore[misc]
        yield from _about_scores(task, problem, scorer, is_first=number == 0)


def _about_names(task: GuardedTask, asked: str) -> Iterator[str]:
    if not (isinstance(task.name, str) and task.name and task.name.isprintable()):
        yield f"name is {_short(task.name)}, not a printable text"
    elif task.name in BUILT_IN:
        yield f"name is {task.name!r}, as a built-in task's is, whose scorers other commands would use; rename it"
    elif task.file is None and task.name != asked:
        yield (
            f"name is {task.name!r}, but it is registered as {asked!r}: other commands look for a stored task by its "
            f"name"
        )
    for what, names in (("prompts", task.prompts), ("scorers", task.scorers)):
        if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
            yield f"{what} is {_short(names)}, not a tuple of different names"


def _about_problem(problem: Any, index: int) -> Iterator[str]:
    if not isinstance(problem, Problem):
        yield f"problems[{index}] is {_short(problem)}, not a Problem"
        return
    if problem.index != index or isinstance(problem.index, bool):
        yield f"problems[{index}].index is {_short(problem.index)}, not its position {index}"
    if not isinstance(problem.group, str):
        yield f"problems[{index}].group is {_short(problem.group)}, not a text"
    try:
        same = json.loads(json.dumps(dict(problem.inputs), allow_nan=False)) == _with_lists(problem.inputs)
    except (TypeError, ValueError) as error:
        yield f"problems[{index}].inputs cannot be stored as JSON ({error}): {_short(problem.inputs)}"
        return
    if not same:
        yield (
            f"problems[{index}].inputs are others when read back from JSON, as with keys that are no texts: "
            + _short(problem.inputs)
        )


def _about_prompt(task: GuardedTask, problem: Problem, style: str) -> Iterator[str]:
    where = f"prompt of problem {problem.index}"
    prompt = task.prompt(problem, style)
    if not isinstance(prompt, Prompt):
        yield f"{where} is {_short(prompt)}, not a Prompt"
        return
    pairs = all(len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in prompt.messages)
    if not (pairs and isinstance(prompt.assistant_prefix, str)):
        yield f"{where} has messages that are no (role, content) pairs of texts, or a prefix that is no text"
    if not (prompt.messages or prompt.assistant_prefix):
        yield f"{where} is empty"
    if task.prompt(problem, style).digest != prompt.digest:
        yield f"{where} is another one when it is asked for again, so no run could be resumed"


def _about_scores(task: GuardedTask, problem: Problem, scorer: str, *, is_first: bool) -> Iterator[str]:
    if isinstance(task, SlowScored) and scorer in task.slow_scorers:
        return  # it runs in processes of its own, where it may fail or hang
    stored = Problem(problem.index, json.loads(json.dumps(dict(problem.inputs))), problem.group)
    for name, text in TEXTS if is_first else TEXTS[:2]:
        where = f"score of problem {problem.index} on {name}"
        try:
            with _limited():
                score = checked(raw := task.score(problem, text, scorer))
                again = checked(task.score(stored, text, scorer))
        except _TooSlowError:
            fix = f"name {scorer!r} in slow_scorers, or bound its time"
            if is_task_file(task.file or ""):
                fix = "write a regular expression without nested repeats such as (a+)+"
            yield f"{where} takes more than {_LIMIT_S:g} s; {fix}"
            continue
        except EsprobeError as error:
            yield f"{where}: {str(error).partition('; esprobe cannot')[0]}"
            continue
        if not isinstance(raw, Score):
            yield f"{where} is {_short(raw)}, not a Score"
        elif score != again:
            yield f"{where} is {_short(score)}, but {_short(again)} when the problem is read from a database"


def _caught(check: Callable[[], Iterator[str]]) -> list[str]:
    try:
        return list(check())
    except TaskError as error:
        return [str(error).partition("; esprobe cannot")[0]]


class _TooSlowError(BaseException):
    """A scorer takes too long; no Exception, so that the scorer cannot catch it."""


@contextmanager
def _limited() -> Iterator[None]:
    """Interrupt what takes too long, where the operating system and the thread allow it."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _TooSlowError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, _LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _with_lists(value: Any) -> Any:
    """What JSON makes of a value that it can hold: tuples are lists there."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_with_lists(item) for item in value]
    if hasattr(value, "items"):
        return {key: _with_lists(item) for key, item in value.items()}
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
