"""``save-model``: one perturbed model as an ordinary checkpoint folder."""

import re
from pathlib import Path
from typing import Annotated

import typer

from esprobe import defaults
from esprobe.cli import options
from esprobe.errors import UsageError


def save_model(
    out: Annotated[Path, typer.Argument(help="The folder to write; it must be empty or not exist.")],
    sigma: Annotated[float, typer.Option("--sigma", help="Standard deviation of the noise on each weight.")],
    seed: Annotated[int, typer.Option("--seed", help="Seed of the perturbation.")],
    model: options.ModelName = defaults.MODEL,
    noise: Annotated[str, typer.Option("--noise", help="iid or tied, as in sample-perturb.")] = defaults.NOISE,
    scope: Annotated[
        str | None, typer.Option("--scope", help="Perturb only tensors whose name matches this regular expression.")
    ] = None,
    dtype: options.Dtype = defaults.DTYPE,
) -> None:
    """Write the model perturbed with one seed and sigma as a checkpoint folder that any tool can load."""
    from esprobe.doctor import refuse
    from esprobe.engines import TRANSFORMERS, engine_class
    from esprobe.engines.checkpoint import find_checkpoint
    from esprobe.noise import SCHEMES
    from esprobe.spec import SIGMAS, Perturbation, is_sigma

    if not is_sigma(sigma):
        raise UsageError(f"--sigma must be {SIGMAS}, such as 0.005, got {sigma}")
    if not 0 <= seed < 2**63:
        raise UsageError(f"--seed must be from 0 to 2**63 - 1, got {seed}")
    if noise not in SCHEMES:
        raise UsageError(f"--noise must be {' or '.join(SCHEMES)}, got {noise!r}")
    try:
        re.compile(scope or "")
    except re.error as err:
        raise UsageError(f"--scope must be a regular expression such as 'mlp', got {scope!r} ({err})") from err
    checkpoint = find_checkpoint(model)
    refuse(checkpoint)
    served = engine_class(TRANSFORMERS.name).identify(model, dtype).dtype  # loads nothing
    from esprobe.engines.save import save_perturbed

    touched = save_perturbed(checkpoint, Perturbation(seed, sigma, noise, scope), served, out)
    typer.echo(f"{model} at sigma {sigma:g}, seed {seed} ({served}) written to {out}: {touched:,} scalars perturbed")
