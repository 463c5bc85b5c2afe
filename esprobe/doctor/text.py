"""A diagnosis as a table for people and as JSON."""

import json
from dataclasses import asdict

from esprobe.doctor.diagnosis import Diagnosis
from esprobe.engines.tensor_groups import GROUPS
from esprobe.safe_text import plain
from esprobe.tables import aligned

SCHEMA = 1


def as_table(diagnosis: Diagnosis) -> str:
    """What was checked, what rounding does, and the verdict; ASCII but for names."""
    identity = diagnosis.identity
    lines = [f"{plain(identity.model)}: {identity.dtype} on {diagnosis.engine}", ""]
    lines += aligned([["", "check", "result"], *_check_rows(diagnosis)])
    if diagnosis.rounding:
        lines += [
            "",
            f"weights that rounding to {identity.dtype} leaves unmoved (std of what was added, in sigmas):",
            "",
        ]
        lines += aligned(_rounding_rows(diagnosis))
    return "\n".join([*lines, "", f"verdict: {verdict(diagnosis)}"]) + "\n"


def as_json(diagnosis: Diagnosis) -> str:
    """The same as a JSON document; its keys are described in docs/doctor.md."""
    identity = diagnosis.identity
    document = {
        "schema": SCHEMA,
        "model": identity.model,
        "fingerprint": identity.fingerprint,
        "dtype": identity.dtype,
        "engine": diagnosis.engine,
        "healthy": diagnosis.healthy,
        "checks": [asdict(check) for check in diagnosis.checks],
        "dead": list(diagnosis.dead),
        "rounding": [asdict(entry) for entry in diagnosis.rounding],
    }
    return json.dumps(document, indent=2) + "\n"


def verdict(diagnosis: Diagnosis) -> str:
    """One sentence."""
    failed = [check.name for check in diagnosis.checks if not check.ok]
    if failed:
        return f"do not perturb this model here; failed: {', '.join(failed)}"
    return "noise reaches every weight that was checked, and leaves no trace"


def _check_rows(diagnosis: Diagnosis) -> list[list[str]]:
    return [["ok" if check.ok else "FAILED", check.name, plain(check.detail)] for check in diagnosis.checks]


def _rounding_rows(diagnosis: Diagnosis) -> list[list[str]]:
    found = {(entry.sigma, entry.group): entry for entry in diagnosis.rounding}
    groups = [group for group in GROUPS if any(key[1] == group for key in found)]
    rows = [["sigma", *groups]]
    for sigma in dict.fromkeys(entry.sigma for entry in diagnosis.rounding):
        cells = [found[sigma, group] for group in groups]
        rows.append([f"{sigma:g}", *(f"{100 * cell.unmoved:.1f} % ({cell.spread:.2f})" for cell in cells)])
    return rows
