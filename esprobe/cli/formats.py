"""The values of ``--format``, for each kind of output."""

from enum import StrEnum


class TableFormat(StrEnum):
    """A table for people, or JSON."""

    table = "table"
    json = "json"


class CurveFormat(StrEnum):
    """pass@k curves and their comparison."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"


class ReportFormat(StrEnum):
    """A whole report."""

    markdown = "markdown"
    html = "html"
    json = "json"
    csv = "csv"


class RolloutFormat(StrEnum):
    """Rollouts for people to read; jsonl is one object per line."""

    text = "text"
    json = "json"
    jsonl = "jsonl"


class ExportFormat(StrEnum):
    """Rollouts for other tools."""

    jsonl = "jsonl"
    parquet = "parquet"
