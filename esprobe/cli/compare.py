"""``compare``: two conditions side by side, one beside random guessing, or a trained model beside its base."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli import options
from esprobe.cli.formats import CurveFormat
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.store.choice import Filters


def compare(
    a: Annotated[
        str | None, typer.Argument(help="Id or label of a condition, or 'null' for random guessing.", metavar="A")
    ] = None,
    b: Annotated[
        str | None, typer.Argument(help="Id or label of the condition to compare with it.", metavar="B")
    ] = None,
    db: options.DbPath = options.DEFAULT_DB,
    k: options.Ks = None,
    base: options.BaseModelName = None,
    trained: options.TrainedModelName = None,
    task: options.TaskFilter = None,
    model: options.ModelFilter = None,
    format: Annotated[CurveFormat, typer.Option("--format", help="Output format.")] = CurveFormat.table,
) -> None:
    """B minus A, paired by problem: the difference in pass@k with intervals, and which problems each one solves.

    Without A and B: what training adds to the base.
    """
    from esprobe.store.choice import Filters

    filters = Filters((), task, model)
    if a is None and b is None:
        typer.echo(_models(db, k, base, trained, format, filters), nl=False)
        return
    if a is None or b is None or base is not None or trained is not None:
        raise UsageError(
            "two conditions are compared by their ids or labels, two models by --base and --trained; type one of the "
            "two: esprobe compare A B, or esprobe compare --base MODEL --trained MODEL"
        )
    from esprobe.analysis.compare import compare as compare_in
    from esprobe.report import compare_json, compare_text

    comparison = compare_in(db, a, b, k, filters)
    match format:
        case CurveFormat.table:
            text = compare_text.as_table(comparison)
        case CurveFormat.markdown:
            text = compare_text.as_markdown(comparison)
        case CurveFormat.csv:
            text = compare_text.as_csv(comparison)
        case CurveFormat.json:
            text = compare_json.as_json(comparison)
    typer.echo(text, nl=False)


def _models(
    db: Path, k: list[int] | None, base: str | None, trained: str | None, format: CurveFormat, filters: "Filters"
) -> str:
    """What training adds to the base."""
    from esprobe.analysis.compare_models import compare_models
    from esprobe.report import gain_json, gain_text

    gain = compare_models(db, base, trained, k, filters)
    match format:
        case CurveFormat.table:
            return gain_text.as_table(gain)
        case CurveFormat.markdown:
            return gain_text.as_markdown(gain)
        case CurveFormat.csv:
            return gain_text.as_csv(gain)
        case CurveFormat.json:
            return gain_json.as_json(gain)
