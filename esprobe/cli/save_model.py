"""``save-model``: one perturbed or trained model as an ordinary checkpoint folder."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe import defaults
from esprobe.cli import options
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.spec import Perturbation


def save_model(
    out: Annotated[Path, typer.Argument(help="The folder to write; it must be empty or not exist.")],
    sigma: Annotated[
        float | None,
        typer.Option("--sigma", help="Standard deviation of the noise on each weight. Optional for a trained model."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the perturbation.")] = None,
    model: options.ModelName = defaults.MODEL,
    noise: Annotated[str, typer.Option("--noise", help="iid or tied, as in sample-perturb.")] = defaults.NOISE,
    scope: Annotated[
        str | None, typer.Option("--scope", help="Perturb only tensors whose name matches this regular expression.")
    ] = None,
    dtype: options.Dtype = defaults.DTYPE,
) -> None:
    """Write a perturbed model (--sigma, --seed) or one that train-es trained as a checkpoint folder for any tool."""
    from esprobe.doctor import refuse
    from esprobe.engines import TRANSFORMERS, identify
    from esprobe.engines.checkpoint import find_checkpoint
    from esprobe.models import find_lineage

    lineage = find_lineage(model)
    perturbation = _perturbation(sigma, seed, noise, scope, optional=lineage is not None)
    identity = identify(TRANSFORMERS.name, model, dtype, lineage)  # loads nothing
    checkpoint = find_checkpoint(identity.checkpoint)
    refuse(checkpoint)
    from esprobe.engines.save import save_lineage, save_perturbed

    noised = "" if perturbation is None else f" at sigma {perturbation.sigma:g}, seed {perturbation.seed}"
    if lineage is None:
        assert perturbation is not None
        touched, what = save_perturbed(checkpoint, perturbation, identity.dtype, out), "perturbed"
    else:
        touched, state = save_lineage(lineage, out, perturbation)
        what = f"trained, digest of the update {state[:12]}"
    typer.echo(f"{model}{noised} ({identity.dtype}) written to {out}: {touched:,} scalars {what}")


def _perturbation(
    sigma: float | None, seed: int | None, noise: str, scope: str | None, *, optional: bool
) -> "Perturbation | None":
    """The perturbation that the options name; None if they name none, which is ``optional``.

    Raises:
        UsageError: a value is out of range or missing.
    """
    from esprobe.noise import SCHEMES
    from esprobe.spec import SIGMAS, Perturbation, is_sigma

    if sigma is None and seed is None and optional:
        return None
    if sigma is None or seed is None:
        raise UsageError(
            "--sigma and --seed name a perturbation together; give both, or neither with a --model that train-es has "
            "trained (FILE:RUN@ITERATION)"
        )
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
    return Perturbation(seed, sigma, noise, scope)
