"""Checks that any task's data can be given: ``esprobe data check``.

Owns what repeats and overlaps, by a problem's content or its prompt. A task's own checks come on top (``Audited``).
"""

from collections.abc import Iterator, Sequence

from esprobe.records import Audit, Finding
from esprobe.spec import Problem
from esprobe.tasks.base import ContentKeyed, DataSet, Task

NOTES = (
    "duplicate: the same question as an earlier problem of those audited",
    "in training problems: one of the training problems, or the same question as one",
)
"""What the findings mean, for people."""


def audit_any(
    task: Task,
    data: DataSet,
    problems: tuple[int, int],
    training: tuple[int, int],
    findings: Sequence[Finding] = (),
    notes: Sequence[str] = (),
) -> Audit:
    """What is wrong or odd in the problems of a slice; those past the data's end are left out.

    Args:
        task: the task of the data.
        data: its data set.
        problems: first and stop index of the problems to audit.
        training: first and stop index of the problems that a model may have been trained on.
        findings: what the task found itself, shown after those of any task.
        notes: what its findings mean.

    Raises:
        EsprobeError: a problem has no prompt.
    """
    chosen = data.problems[slice(*problems)]
    own = range(*slice(*problems).indices(len(data.problems)))
    trained = {question_key(task, problem) for problem in data.problems[slice(*training)]}
    return Audit(
        task=task.name,
        data=data.source,
        data_digest=data.digest,
        problems=(own.start, own.stop),
        training=training,
        groups=tuple(problem.group for problem in chosen),
        findings=(
            Finding("duplicate", tuple(_repeats(task, chosen))),
            Finding("in training problems", tuple(p.index for p in chosen if question_key(task, p) in trained)),
            *findings,
        ),
        notes=(*NOTES, *notes),
    )


def _repeats(task: Task, problems: Sequence[Problem]) -> Iterator[int]:
    seen = set()
    for problem in problems:
        key = question_key(task, problem)
        if key in seen:
            yield problem.index
        seen.add(key)


def question_key(task: Task, problem: Problem) -> str:
    """Equal for problems with equal questions: by the task's own key, else by their prompts."""
    key = task.content_key(problem.inputs) if isinstance(task, ContentKeyed) else None
    return task.prompt(problem, task.prompts[0]).digest if key is None else key
