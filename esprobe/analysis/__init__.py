"""From a database to the numbers that tables and reports are made of."""

from esprobe.analysis.compare import compare
from esprobe.analysis.load import load_results

__all__ = ["compare", "load_results"]
