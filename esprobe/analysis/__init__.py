"""From a database to the numbers that tables and reports are made of."""

from esprobe.analysis.load import load_results, load_tasks, tasks_of

__all__ = ["load_results", "load_tasks", "tasks_of"]
