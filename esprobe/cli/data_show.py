"""``data show``: what a model is given for one problem."""

from typing import TYPE_CHECKING, Annotated

import typer

from esprobe import defaults
from esprobe.cli import options
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.spec import Prompt


def show(
    problem: Annotated[int, typer.Option("--problem", help="Index of the problem.")] = 0,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Apply this model's chat template. Default: print the messages as they are."),
    ] = None,
    task: options.TaskName = defaults.TASK,
    data: options.DataName = None,
    prompt: options.PromptStyle = None,
) -> None:
    """Print the prompt of a problem; with --model exactly the text that the model continues."""
    from esprobe.safe_text import multiline, plain
    from esprobe.tasks import load_task

    loaded = load_task(task)
    if prompt is None:
        prompt = loaded.prompts[0]
    if prompt not in loaded.prompts:
        raise UsageError(f"--prompt must be {' or '.join(loaded.prompts)} for task {task}, got {prompt!r}")
    rows = loaded.data_set(data)
    if not 0 <= problem < len(rows.problems):
        raise UsageError(f"--problem must be from 0 to {len(rows.problems) - 1} in {rows.source}, got {problem}")
    chosen = rows.problems[problem]
    made = loaded.prompt(chosen, prompt)
    about = f"problem {problem} of {rows.source} ({chosen.group}): {dict(chosen.inputs)}"
    typer.echo(plain(about), err=True)
    if model is None:
        typer.echo(multiline(_messages(made), "\t"))
        return
    from esprobe.engines.checkpoint import find_checkpoint
    from esprobe.engines.prompt_codec import PromptCodec
    from esprobe.models import find_lineage

    lineage = find_lineage(model)
    codec = PromptCodec(find_checkpoint(model if lineage is None else lineage.base))
    typer.echo(multiline(codec.text(made), "\t"))
    typer.echo(f"{len(codec.encode(made)):,} tokens", err=True)


def _messages(prompt: "Prompt") -> str:
    parts = [f"{role}: {content}" for role, content in prompt.messages]
    if prompt.assistant_prefix:
        parts.append(f"assistant: {prompt.assistant_prefix}" if parts else prompt.assistant_prefix)
    return "\n".join(parts)
