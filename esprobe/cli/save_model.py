"""``save-model``: one perturbed model as an ordinary checkpoint folder."""

import re
from pathlib import Path
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.errors import UsageError


def save_model(
    out: Annotated[Path, typer.Argument(help="The folder to write; it must not exist, or be empty.")],
    sigma: Annotated[float, typer.Option("--sigma", help="Standard deviation of the noise on each weight.")],
    seed: Annotated[int, typer.Option("--seed", help="Names the perturbation.")],
    model: options.ModelName = options.DEFAULT_MODEL,
    noise: Annotated[str, typer.Option("--noise", help="iid or tied, as in sample-perturb.")] = "iid",
    scope: Annotated[
        str | None, typer.Option("--scope", help="Perturb only tensors whose name matches this regular expression.")
    ] = None,
    dtype: options.Dtype = "auto",
) -> None:
    """Write the model that a seed names at a sigma as a checkpoint folder that any program can load."""
    from esprobe.doctor import refuse
    from esprobe.engines import TRANSFORMERS, engine_class
    from esprobe.engines.checkpoint import find_checkpoint
    from esprobe.noise import SCHEMES
    from esprobe.spec import SIGMAS, Perturbation, is_sigma

    if not is_sigma(sigma):
        raise UsageError(f"sigma {sigma} is no standard deviation for weights: it must be {SIGMAS}, such as 0.005")
    if not 0 <= seed < 2**63:
        raise UsageError(f"--seed {seed} names no perturbation; seeds run from 0 to 2**63 - 1")
    if noise not in SCHEMES:
        raise UsageError(f"--noise {noise} is no noise scheme; use {' or '.join(SCHEMES)}")
    try:
        re.compile(scope or "")
    except re.error as err:
        raise UsageError(f"--scope {scope!r} is no regular expression ({err}); use one such as 'mlp'") from err
    checkpoint = find_checkpoint(model)
    refuse(checkpoint)
    served = engine_class(TRANSFORMERS.name).identify(model, dtype).dtype  # loads nothing
    from esprobe.engines.save import save_perturbed

    touched = save_perturbed(checkpoint, Perturbation(seed, sigma, noise, scope), served, out)
    typer.echo(f"{model} at sigma {sigma:g}, seed {seed} ({served}) written to {out}: {touched:,} scalars perturbed")
