"""Reads a database and computes the values that tables and reports show."""

from esprobe.analysis.compare import compare
from esprobe.analysis.load import load_results

__all__ = ["compare", "load_results"]
