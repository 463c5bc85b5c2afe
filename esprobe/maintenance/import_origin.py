"""What the rows of an import say of the condition that they were sampled under, and what follows for theirs."""

from pathlib import Path
from typing import NamedTuple

from esprobe.errors import DataError
from esprobe.maintenance.imported_rows import ImportedRow, Origin
from esprobe.noise import SCHEMES
from esprobe.records import FOREIGN
from esprobe.spec import SIGMAS, Kind, is_sigma
from esprobe.tasks import DataSet

_SEPARATELY = "an import is one condition, so import each separately (esprobe export --condition selects one)"


class SharedNoise(NamedTuple):
    """The perturbation of an import whose problems share it under each seed, and the model that it perturbs."""

    sigma: float
    noise: str
    scope: str | None
    model: str | None
    model_fingerprint: str
    dtype: str | None
    engine: str | None


def check_same_condition(path: Path, row: ImportedRow, first: ImportedRow) -> None:
    """Refuse a row of another condition than the first row's.

    Raises:
        DataError: it is of another condition, or only one of both was sampled under a perturbation.
    """
    if row.condition != first.condition:
        raise DataError(
            f"{row.place} of {path} is of condition {row.condition!r} and {first.place} of "
            f"{first.condition!r}; {_SEPARATELY}"
        )
    if row.origin != first.origin and Kind.PERTURBATION in (row.origin.kind, first.origin.kind):
        name = next(name for name in Origin._fields if getattr(row.origin, name) != getattr(first.origin, name))
        raise DataError(
            f"{row.place} of {path} has {name} {getattr(row.origin, name)!r} and {first.place} has "
            f"{getattr(first.origin, name)!r}, so they are not of one perturbation; {_SEPARATELY}"
        )


def shared_noise(path: Path, row: ImportedRow) -> SharedNoise | None:
    """The perturbation that a row was sampled under; None if it was sampled under none.

    Raises:
        DataError: it was sampled under one, but does not say which model its seed names.
    """
    origin = row.origin
    if origin.kind != Kind.PERTURBATION:
        return None
    said = {
        "seed": row.seed,
        "sigma": origin.sigma,
        "noise": origin.noise,
        "model_fingerprint": origin.model_fingerprint,
    }
    missing = [name for name, value in said.items() if value is None]
    if missing or origin.noise is None or origin.model_fingerprint is None:
        raise DataError(
            f"{row.place} of {path} was sampled under a perturbation, which all rollouts of its seed share, but "
            f"does not say which (no {', '.join(missing)}); as independent rollouts its intervals would be too narrow. "
            f"Export it again with this version of esprobe; to combine databases, use: esprobe merge; if these "
            f'rollouts are independent, remove "kind" from the file'
        )
    sigma = origin.sigma
    if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not is_sigma(sigma):
        raise DataError(f"{row.place} of {path} has sigma {sigma!r}, which no perturbation has; it must be {SIGMAS}")
    if origin.noise not in SCHEMES:
        raise DataError(
            f"{row.place} of {path} has noise {origin.noise!r}, which is no scheme of this version's; known are "
            f"{', '.join(SCHEMES)}"
        )
    return SharedNoise(float(sigma), origin.noise, origin.scope, origin.model, origin.model_fingerprint, *origin[6:8])


def check_data(path: Path, row: ImportedRow, task: str, data: DataSet) -> None:
    """Refuse a row that says it was sampled on other data.

    Raises:
        DataError: its data digest is not that of ``data``, or it is of another task.
    """
    digest, its_task = row.origin.data_digest, row.origin.task
    if digest is None or its_task == FOREIGN:  # its digest is of the indices alone
        return
    if its_task is not None and its_task != task:
        raise DataError(
            f"{row.place} of {path} is of task {its_task!r}, not of {task}, so its problems are others; "
            f"use --task {its_task}, or leave out --task"
        )
    if digest != data.digest:
        raise DataError(
            f"{row.place} of {path} was sampled on data with the digest {digest[:12]}..., and {data.source} has "
            f"{data.digest[:12]}..., so its indices mean other problems; name its data with --data"
        )
