"""``doctor``: whether weight perturbation is exact for a model on an engine."""

from typing import Annotated

import typer

from esprobe import defaults
from esprobe.cli import options
from esprobe.cli.formats import TableFormat
from esprobe.cli.option_groups import grouped
from esprobe.cli.sampling_options import VllmOptions


@grouped
def doctor(
    *,
    model: options.ModelName = defaults.MODEL,
    engine: options.EngineName = defaults.ENGINE,
    dtype: options.Dtype = defaults.DTYPE,
    vllm: VllmOptions,
    sigma: Annotated[
        list[float], typer.Option("--sigma", help="Standard deviation whose rounding error is reported; repeatable.")
    ] = list(defaults.SIGMAS),  # noqa: B006 - Typer copies it
    every: Annotated[
        bool, typer.Option("--all", help="Perturb every tensor by itself, not only the first and last of each class.")
    ] = False,
    format: Annotated[TableFormat, typer.Option("--format", help="Output format.")] = TableFormat.table,
) -> None:
    """Check that noise reaches every weight of a model and is removed exactly. Exit code 1 if not."""
    from esprobe.doctor import as_json, as_table, diagnose
    from esprobe.models import find_lineage

    found = diagnose(
        model,
        engine,
        dtype,
        sigma,
        every=every,
        options=vllm.engine_options(perturbs=True),
        notice=lambda message: typer.echo(message, err=True),
        lineage=find_lineage(model),
    )
    typer.echo(as_json(found) if format is TableFormat.json else as_table(found), nl=False)
    if not found.healthy:
        raise typer.Exit(1)
