"""Problems that are shown as solved examples in their own prompts, so that their answers can be copied."""

from collections.abc import Sequence

from esprobe.spec import Problem, Prompt
from esprobe.tasks.base import Task


def shown_as_examples(task: Task, problems: Sequence[Problem]) -> list[int]:
    """Indices of the problems whose question is also an earlier user turn of their prompt.

    Looked for in the task's first prompt style, whose turns can be told apart.

    Raises:
        EsprobeError: a problem has no prompt.
    """
    if not problems or len(_questions(task.prompt(problems[0], task.prompts[0]))) < 2:
        return []  # no prompts of half a million problems are made for nothing
    asked = ((problem.index, _questions(task.prompt(problem, task.prompts[0]))) for problem in problems)
    return [index for index, questions in asked if questions[-1:] and questions[-1] in questions[:-1]]


def examples_warning(task: Task, problems: Sequence[Problem]) -> str | None:
    """What to tell a person who samples such problems; None if there are none."""
    if not (found := shown_as_examples(task, problems)):
        return None
    shown = ", ".join(map(str, found[:6])) + (", ..." if len(found) > 6 else "")
    return (
        f"{len(found):,} of the problems are shown as solved examples in their own prompts ({shown}), so a model can "
        f"copy their answers; leave them out with --problems, or take other examples"
    )


def _questions(prompt: Prompt) -> list[str]:
    return [text for role, text in prompt.messages if role == "user"]
