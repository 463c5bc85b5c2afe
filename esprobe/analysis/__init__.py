"""From a database to the numbers that tables and reports are made of."""

from esprobe.analysis.load import load_results

__all__ = ["load_results"]
