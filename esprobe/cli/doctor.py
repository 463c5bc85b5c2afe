"""``doctor``: whether a model can be perturbed truly on an engine."""

from enum import StrEnum
from typing import Annotated

import typer

from esprobe.cli import options


class Format(StrEnum):
    """How a diagnosis is written."""

    table = "table"
    json = "json"


def doctor(
    model: options.ModelName = options.DEFAULT_MODEL,
    engine: options.EngineName = "auto",
    dtype: options.Dtype = "auto",
    max_num_seqs: options.MaxNumSeqs = 512,
    gpu_memory_utilization: options.GpuMemory = 0.85,
    enforce_eager: options.EnforceEager = False,
    tensor_parallel_size: options.TensorParallel = 1,
    batch_invariant: options.BatchInvariant = False,
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
    from esprobe.engines import EngineOptions

    running = EngineOptions(
        perturbs=True,
        max_num_seqs=max_num_seqs,
        gpu_memory_utilization=gpu_memory_utilization,
        enforce_eager=enforce_eager,
        tensor_parallel_size=tensor_parallel_size,
        batch_invariant=batch_invariant,
    )
    found = diagnose(
        model,
        engine,
        dtype,
        sigma,
        every=every,
        options=running,
        notice=lambda message: typer.echo(message, err=True),
    )
    typer.echo(as_json(found) if format is Format.json else as_table(found), nl=False)
    if not found.healthy:
        raise typer.Exit(1)
