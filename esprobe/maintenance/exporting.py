"""Rollouts as rows for other tools, JSON lines or Parquet; streamed, so that memory use does not grow with the file."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from esprobe.atomic_file import replacing
from esprobe.errors import StoreError, UsageError
from esprobe.records import StoredCondition
from esprobe.store import RolloutStore

ROW_GROUP = 20_000
"""Rollouts per Parquet row group; one group is in memory at a time."""

COLUMNS = {
    "condition": "int64",
    "condition_digest": "string",
    "label": "string",
    "kind": "string",
    "temperature": "float64",
    "sigma": "float64",
    "noise": "string",
    "scope": "string",
    "model": "string",
    "model_fingerprint": "string",
    "dtype": "string",
    "engine": "string",
    "task": "string",
    "data_digest": "string",
    "problem": "int64",
    "seed": "int64",
    "completion": "string",
    "reward": "float64",
    "correct": "bool_",
    "answer": "string",
    "failure": "string",
    "token_count": "int64",
    "finish_reason": "string",
}
"""Names and Arrow types of a row's fields, in order."""


def rows(store: RolloutStore, conditions: Sequence[StoredCondition]) -> Iterator[dict[str, Any]]:
    """One flat row per rollout, sorted by condition, seed and problem."""
    for stored in conditions:
        condition = stored.condition
        of_condition = (
            stored.id,
            condition.digest,
            condition.label,
            condition.kind,
            condition.temperature,
            condition.sigma,
            condition.noise,
            condition.scope,
            condition.model,
            condition.model_fingerprint,
            condition.dtype,
            condition.engine,
            condition.task,
            condition.data_digest,
        )
        for rollout in store.rollouts(stored.id):
            of_rollout = (
                rollout.problem,
                rollout.seed,
                rollout.completion,
                rollout.reward,
                rollout.correct,
                rollout.answer,
                rollout.failure,
                rollout.token_count,
                rollout.finish_reason,
            )
            yield dict(zip(COLUMNS, (*of_condition, *of_rollout), strict=True))


def write_json_lines(rows: Iterable[dict[str, Any]], file: TextIO) -> int:
    """Write one JSON object per line, ASCII only, so that completions cannot send control codes to a terminal.

    Returns:
        The number of rows.
    """
    count = 0
    for row in rows:
        file.write(json.dumps(row) + "\n")
        count += 1
    return count


def export_json_lines(rows: Iterable[dict[str, Any]], path: Path) -> int:
    """Write one JSON object per line to a file, atomically; returns the number of rows.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        with replacing(path) as draft, draft.open("w", encoding="ascii") as file:
            return write_json_lines(rows, file)
    except OSError as err:
        raise StoreError(f"{path} cannot be written ({err.strerror}); name another place with --output") from err


def export_parquet(rows: Iterable[dict[str, Any]], path: Path) -> int:
    """Write a Parquet file with one row per rollout, atomically; returns the number of rows.

    Raises:
        StoreError: it cannot be written.
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as err:
        raise UsageError(
            "Parquet needs pyarrow; install it in a checkout of esprobe with: pip install '.[parquet]'"
        ) from err
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()])
    count, remaining = 0, iter(rows)
    try:
        with replacing(path) as draft, parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            while group := list(islice(remaining, ROW_GROUP)):
                writer.write_table(pyarrow.Table.from_pylist(group, schema))
                count += len(group)
    except OSError as err:
        raise StoreError(f"{path} cannot be written ({err}); name another place with --output") from err
    return count
