"""Tasks that a YAML file describes: data, prompt, gold answer, extraction and comparison (docs/task-files.md)."""

from esprobe.tasks.files.load import load_file

__all__ = ["load_file"]
