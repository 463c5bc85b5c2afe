"""Whether an engine can perturb a model correctly: noise reaches every weight, and is removed completely.

Owns the checks and their verdicts. Does not know tasks, conditions or databases. All computing is done by engines.
"""

from esprobe.doctor.checks import Check, check_numbers, quick_check, refuse
from esprobe.doctor.diagnosis import Diagnosis, diagnose
from esprobe.doctor.text import as_json, as_table

__all__ = ["Check", "Diagnosis", "as_json", "as_table", "check_numbers", "diagnose", "quick_check", "refuse"]
