"""Rollouts as rows for other tools: JSON lines and Parquet, streamed, so that a file of any size fits any memory."""

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
"""Rollouts of one Parquet row group: what is in memory at once."""

COLUMNS = {
    "condition": "int64",
    "condition_digest": "string",
    "label": "string",
    "kind": "string",
    "temperature": "float64",
    "sigma": "float64",
    "model": "string",
    "task": "string",
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
"""Names and Arrow types of a row's fields, in their order."""


def rows(store: RolloutStore, conditions: Sequence[StoredCondition]) -> Iterator[dict[str, Any]]:
    """One flat row a rollout, by condition, seed and problem."""
    for stored in conditions:
        given = stored.condition
        for drawn in store.rollouts(stored.id):
            told = (stored.id, given.digest, given.label, given.kind, given.temperature, given.sigma, given.model)
            drew = (given.task, drawn.problem, drawn.seed, drawn.completion, drawn.reward, drawn.correct, drawn.answer)
            values = (*told, *drew, drawn.failure, drawn.token_count, drawn.finish_reason)
            yield dict(zip(COLUMNS, values, strict=True))


def write_json_lines(found: Iterable[dict[str, Any]], file: TextIO) -> int:
    """One JSON object a line, ASCII only, so that nothing a model wrote can act on a terminal; how many."""
    count = 0
    for row in found:
        file.write(json.dumps(row) + "\n")
        count += 1
    return count


def export_json_lines(found: Iterable[dict[str, Any]], path: Path) -> int:
    """The same into a file, which appears whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        with replacing(path) as draft, draft.open("w", encoding="ascii") as file:
            return write_json_lines(found, file)
    except OSError as err:
        raise StoreError(f"{path} cannot be written ({err.strerror}); name another place with --output") from err


def export_parquet(found: Iterable[dict[str, Any]], path: Path) -> int:
    """A Parquet file with one row a rollout, which appears whole or not at all; how many.

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
    count, remaining = 0, iter(found)
    try:
        with replacing(path) as draft, parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            while group := list(islice(remaining, ROW_GROUP)):
                writer.write_table(pyarrow.Table.from_pylist(group, schema))
                count += len(group)
    except OSError as err:
        raise StoreError(f"{path} cannot be written ({err}); name another place with --output") from err
    return count
