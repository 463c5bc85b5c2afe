"""``doctor``: whether a model can be perturbed truly on an engine."""

from enum import StrEnum
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.cli.grouped import grouped
from esprobe.cli.sampling_options import VllmOptions


class Format(StrEnum):
    """How a diagnosis is written."""

    table = "table"
    json = "json"


@grouped
def doctor(
    *,
    model: options.ModelName = options.DEFAULT_MODEL,
    engine: options.EngineName = "auto",
    dtype: options.Dtype = "auto",
    vllm: VllmOptions,
    sigma: Annotated[
        list[float], typer.Option("--sigma", help="Standard deviation to tell the effect of rounding for; repeatable.")
    ] = [0.001, 0.003, 0.005, 0.01],  # noqa: B006 - Typer copies it
    every: Annotated[
        bool, typer.Option("--all", help="Perturb every tensor alone, not only the first and last of each class.")
    ] = False,
    format: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.table,
) -> None:
    """Check that noise reaches every weight of a model, and leaves no trace. Exit code 1 if it does not."""
    from esprobe.doctor import as_json, as_table, diagnose

    found = diagnose(
        model,
        engine,
        dtype,
        sigma,
        every=every,
        options=vllm.engine_options(perturbs=True),
        notice=lambda message: typer.echo(message, err=True),
    )
    typer.echo(as_json(found) if format is Format.json else as_table(found), nl=False)
    if not found.healthy:
        raise typer.Exit(1)
