"""``status``: progress of a database, its last session, and the time left."""

import json
import math
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from esprobe.cli import options
from esprobe.cli.formats import TableFormat
from esprobe.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esprobe.records import ConditionStatus, SessionRecord
    from esprobe.records.training import TrainingStatus


MOST_RUNS = 4
"""Ranges of incomplete seeds that the table lists."""

UNFOLDED = 1_000_000
"""Columns where there is no terminal: what reads the output finds one condition in one line."""

LEAST_COLUMNS = 20
"""A narrower terminal is taken to have this many columns."""


def status(
    db: options.DbPath = options.DEFAULT_DB,
    format: Annotated[TableFormat, typer.Option("--format", help="Output format.")] = TableFormat.table,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until everything is stored.")] = False,
    every: Annotated[float, typer.Option("--every", help="Seconds between updates with --watch.", min=0.1)] = 5.0,
) -> None:
    """Show stored and planned rollouts, the last session's rollouts/s, and the time left."""
    from esprobe.safe_text import plain

    while True:
        document = read_status(db)
        text = (
            json.dumps(document)
            if format is TableFormat.json
            else as_table(document, shutil.get_terminal_size((UNFOLDED, 24)).columns)
        )
        if watch and format is TableFormat.table and sys.stdout.isatty():
            text = "\x1b[H\x1b[2J" + text
        typer.echo(text)
        if watch and not document["planned"] and document["writer"] is None:
            raise StoreError(
                f"nothing is planned in {plain(str(db))}, so there is nothing to wait for; run the sampling "
                f"command again"
            )
        if not watch or (document["planned"] and not document["missing"]):
            return
        time.sleep(every)


def read_status(db: Path) -> dict[str, Any]:
    """The status as JSON-serialisable values; the table shows the same.

    Raises:
        StoreError: the database cannot be read.
    """
    from esprobe.store import RolloutStore
    from esprobe.store.choice import table_labels
    from esprobe.store.lock import writer_of
    from esprobe.store.status import condition_statuses, total_eta_s, training_statuses

    with RolloutStore.open(db) as store, store.snapshot():
        statuses = condition_statuses(store)
        runs = training_statuses(store)
        rollouts = sum(store.totals(one.id).rollouts for one in store.conditions())
        names = table_labels(store, [one.stored for one in statuses])
        session = store.last_session()
        size = sum(path.stat().st_size for path in (db, db.with_name(db.name + "-wal")) if path.exists())
    return {
        "schema": 1,
        "database": str(db),
        "bytes": size,
        "rollouts": rollouts,
        "planned": sum(one.planned for one in statuses),
        "missing": sum(one.missing for one in statuses),
        "eta_s": total_eta_s(statuses),
        "writer": writer_of(db),
        "session": session and _session(session),
        "conditions": [_condition(one, names[one.stored.id]) for one in statuses],
        "training": [_training(one) for one in runs],
    }


def _training(one: "TrainingStatus") -> dict[str, Any]:
    from esprobe.store.training import population_size

    run = one.run
    means = [math.fsum(member.fitness for member in done.members) / len(done.members) for done in run.iterations]
    return {
        "id": run.id,
        "model": run.model,
        "recipe": dict(run.recipe),
        "iterations": len(run.iterations),
        "rollouts": one.rollouts,
        "rollouts_per_iteration": population_size(run),
        "begun": one.begun,
        "tokens": one.tokens,
        "mean_fitness": means,
    }


def _condition(one: "ConditionStatus", name: str) -> dict[str, Any]:
    return {
        "id": one.stored.id,
        "label": one.stored.condition.label,
        "name": name,
        "kind": one.stored.condition.kind,
        "model": one.stored.condition.model,
        "rollouts": one.totals.rollouts,
        "planned": one.planned,
        "missing": one.missing,
        "problems": one.planned_problems,
        "incomplete_problems": one.incomplete_problems,
        "incomplete_seeds": one.incomplete_seeds,
        "tokens": one.totals.tokens,
        "rollouts_per_s": one.rate,
        "eta_s": one.eta_s,
    } | _given_up(one)


def _given_up(one: "ConditionStatus") -> dict[str, Any]:
    """The key of seeds that will not be drawn, where there are any."""
    from dataclasses import asdict

    from esprobe.results.given_up import SeedsGivenUp

    given_up = SeedsGivenUp.of(one.given_up)
    return {} if given_up is None else {"given_up": asdict(given_up)}


def _session(session: "SessionRecord") -> dict[str, Any]:
    return {
        "id": session.id,
        "command": session.command,
        "state": _state(session),
        "host": session.host,
        "pid": session.pid,
        "started_utc": session.started_utc,
        "ended_utc": session.ended_utc,
        "rollouts": session.rollouts,
        "tokens": session.tokens,
    }


def _state(session: "SessionRecord") -> str:
    """How a session ended; if it recorded no outcome, whether its process still runs."""
    from esprobe.store.lock import is_running

    if session.outcome is not None:
        return session.outcome
    if session.host != socket.gethostname():
        return "running or killed"  # only its own machine can tell
    return {True: "running", False: "killed", None: "running or killed"}[is_running(session.pid)]


def _incomplete(one: dict[str, Any]) -> str:
    runs = [str(first) if first == last else f"{first} to {last}" for first, last in one["incomplete_seeds"]]
    seeds = ", ".join(runs[:MOST_RUNS]) + (f" and {len(runs) - MOST_RUNS:,} more" if len(runs) > MOST_RUNS else "")
    return f"{one['incomplete_problems']:,} of {one['problems']:,} problems; seeds {seeds}"


def _left(document: dict[str, Any]) -> str:
    from esprobe.safe_text import plain
    from esprobe.tables import duration

    if not document["planned"]:  # only imported rollouts, or a command that failed before it planned
        # The plan is stored once the model is loaded, which takes minutes.
        starting = f" yet; {plain(document['writer'])} may be starting" if document["writer"] else ""
        return f"nothing is planned{starting}"
    if not document["missing"]:
        return "everything planned is stored"
    eta = document["eta_s"]
    return f"{document['missing']:,} missing, ETA {'not known' if eta is None else duration(eta)}"


def as_table(document: dict[str, Any], columns: int) -> str:
    """The status as a table, or if that is wider than ``columns`` as a list; ASCII except for names."""
    from esprobe.safe_text import plain
    from esprobe.tables import duration, folded

    heads = ("id", "condition", "stored", "planned", "done", "rollouts/s", "ETA", "incomplete", "tokens")
    rows = [heads]
    for one in document["conditions"]:
        rate, eta = one["rollouts_per_s"], one["eta_s"]
        rows.append(
            (
                str(one["id"]),
                plain(one["name"]),
                f"{one['rollouts']:,}",
                f"{one['planned']:,}" if one["planned"] else "no plan",
                # Rounded down: 100 % means all.
                f"{1000 * one['rollouts'] // one['planned'] / 10:.1f} %" if one["planned"] else "",
                "not known" if rate is None else f"{rate:,.1f}",
                "not known" if eta is None else duration(eta),
                _incomplete(one) if one["missing"] else "none",
                f"{one['tokens']:,}",
            )
        )
    lines = [
        "",
        f"{document['rollouts']:,} rollouts in {plain(document['database'])} ({document['bytes'] / 1e6:,.1f} MB); "
        + _left(document),
    ]
    if session := document["session"]:
        lines.append(
            f"last session: {session['id']}, {session['state']}, {session['rollouts']:,} rollouts "
            f"since {session['started_utc']}, process {session['pid']} on {plain(session['host'])}"
        )
    lines += [_given_up_line(one) for one in document["conditions"] if "given_up" in one]
    lines += [_training_line(run) for run in document["training"]]
    columns = max(columns, LEAST_COLUMNS)
    return "\n".join([*_fitted(rows, columns), *(part for line in lines for part in folded(line, columns, "  "))])


def _given_up_line(one: dict[str, Any]) -> str:
    from esprobe.report.notes_text import given_up_note
    from esprobe.results.given_up import SeedsGivenUp
    from esprobe.safe_text import plain

    return f"{plain(one['name'])}: {given_up_note(SeedsGivenUp(**one['given_up']))}"


def _training_line(run: dict[str, Any]) -> str:
    from esprobe.results.recipe_words import recipe_words
    from esprobe.safe_text import plain

    recipe, means = run["recipe"], run["mean_fitness"]
    line = (
        f"training run {run['id']} of {plain(run['model'])} ({recipe_words(recipe)}): "
        f"{run['iterations']:,} iteration{'s' * (run['iterations'] != 1)}"
    )
    if run["begun"]:
        line += f" and {run['begun']:,} of {run['rollouts_per_iteration']:,} rollouts of the next"
    if means:
        line += f", mean fitness {means[0]:.4f} in the first, {means[-1]:.4f} in the last"
    return f"{line}; {run['rollouts']:,} rollouts"


def _fitted(rows: "Sequence[Sequence[str]]", columns: int) -> list[str]:
    """The table's lines; if one is too wide, a line for each cell and a blank one between conditions."""
    from rich.cells import cell_len

    from esprobe.tables import aligned, folded

    lines = aligned(rows)
    if max(map(cell_len, lines)) <= columns:
        return lines
    heads, *conditions = rows
    blocks = [
        [
            part
            for head, cell in zip(heads, one, strict=True)
            if cell
            for part in folded(f"{head}: {cell}", columns, "  ")
        ]
        for one in conditions
    ]
    return [line for number, block in enumerate(blocks) for line in ([""] if number else []) + block]
