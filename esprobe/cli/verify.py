"""``verify``: whether a database is consistent and undamaged."""

import json
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.cli.formats import TableFormat
from esprobe.errors import StoreError


def verify(
    db: options.DbPath = options.DEFAULT_DB,
    sample: Annotated[
        int, typer.Option("--sample", help="Verdicts per condition to recompute from the stored completions.", min=0)
    ] = 1000,
    everything: Annotated[bool, typer.Option("--all", help="Recompute every verdict.")] = False,
    format: Annotated[TableFormat, typer.Option("--format", help="Output format.")] = TableFormat.table,
) -> None:
    """Check a database: structure, completions, sums, digests, missing rollouts, verdicts. Exit code 1 on a finding."""
    from esprobe.maintenance.verification import verify as run
    from esprobe.safe_text import plain
    from esprobe.store.database import damaged

    answers = []
    for answer in run(db, None if everything else sample):
        answers.append(answer)
        if format is TableFormat.table:
            note = f" ({plain(answer.note)})" if answer.note else ""
            no_findings = "ok" if answer.asked else "not checked"
            typer.echo(f"{answer.question}: {f'{len(answer.found)} findings' if answer.found else no_findings}{note}")
            for line in answer.found:
                typer.echo(f"  {plain(line)}")
    findings = sum(len(answer.found) for answer in answers)
    if format is TableFormat.json:
        listed = [{"question": a.question, "asked": a.asked, "found": list(a.found), "note": a.note} for a in answers]
        typer.echo(json.dumps({"schema": 1, "database": str(db), "off": findings, "answers": listed}))
    if findings and all(answer.question == "holes" for answer in answers if answer.found):
        raise StoreError(
            f"{db} is incomplete ({findings} findings, listed on standard output): what it holds is sound, but rollouts"
            f" of finished sessions are missing; run the command that filled it again (sampling or merge)"
        )
    if findings:
        raise StoreError(damaged(db, f"{findings} findings, listed on standard output"))
