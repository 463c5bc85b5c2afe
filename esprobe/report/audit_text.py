"""The audit of a task's data, as a table for a terminal and as JSON."""

import json
from collections import Counter
from collections.abc import Sequence

from esprobe.records import Audit, Finding
from esprobe.report.text import count
from esprobe.safe_text import plain
from esprobe.tables import boxed

SCHEMA = 1
SHOWN = 6
"""Indices named in the table; the JSON names all."""


def as_table(audit: Audit) -> str:
    """Findings down, classes of problems across, and the first problems that each holds for."""
    groups = _counted(audit.groups)
    rows = [["problems", *map(count, groups.values()), count(len(audit.groups)), _slice(audit.problems)]]
    for finding in audit.findings:
        found = _by_group(audit, finding)
        named = ", ".join(map(str, finding.problems[:SHOWN])) + (", ..." if len(finding.problems) > SHOWN else "")
        rows.append([plain(finding.name), *map(count, found.values()), count(len(finding.problems)), named])
    head = ["finding", *map(plain, groups), "all", "which"]
    title = f"{plain(audit.task)}, data {plain(audit.data)}; {_training(audit.training)}\n\n"
    notes = "".join(f"{note}\n" for note in audit.notes)
    return title + boxed(head, rows, left=(0, len(head) - 1)) + "\n" + notes


def as_json(audit: Audit) -> str:
    """Everything, every index included."""
    document = {
        "schema": SCHEMA,
        "task": audit.task,
        "data": audit.data,
        "data_digest": audit.data_digest,
        "problems": list(audit.problems),
        "training": list(audit.training),
        "count": len(audit.groups),
        "groups": _counted(audit.groups),
        "findings": [
            {
                "name": finding.name,
                "count": len(finding.problems),
                "groups": _by_group(audit, finding),
                "problems": list(finding.problems),
            }
            for finding in audit.findings
        ],
        "notes": list(audit.notes),
    }
    return json.dumps(document, indent=2) + "\n"


def _by_group(audit: Audit, finding: Finding) -> dict[str, int]:
    """How many problems of each class a finding holds for."""
    first, _ = audit.problems
    found = Counter(audit.groups[index - first] for index in finding.problems)
    return {group: found[group] for group in _counted(audit.groups)}


def _counted(groups: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(groups).items()))


def _training(indices: tuple[int, int]) -> str:
    return f"training problems {_slice(indices)}" if indices[0] < indices[1] else "no training problems"


def _slice(bounds: tuple[int, int]) -> str:
    return f"{bounds[0]}:{bounds[1]}"
