"""Whether a model can be perturbed truly on an engine: noise reaches every weight, and leaves no trace.

Owns the checks and their verdicts. Does not know tasks, conditions or databases. Engines answer; nothing here
computes with a model itself.
"""

from esprobe.doctor.checks import Check, check_numbers, quick_check, refuse
from esprobe.doctor.diagnosis import Diagnosis, diagnose
from esprobe.doctor.text import as_json, as_table

__all__ = ["Check", "Diagnosis", "as_json", "as_table", "check_numbers", "diagnose", "quick_check", "refuse"]
