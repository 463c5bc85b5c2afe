"""The first attempt's published figures and random guessing: ``python docs/study.py COUNTDOWN.json`` prints them.

COUNTDOWN.json is the published file of problems (see docs/scoring.md); it is not part of esprobe.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from esprobe.stats.curve import expected_curve
from esprobe.stats.intervals import extreme_bound
from esprobe.stats.mcnemar import mcnemar
from esprobe.stats.student import t_quantile
from esprobe.tasks.countdown.null import null_chances

PROBLEMS, SAMPLES = 128, 512
KS = (1, 64, 512)
# jbejjani2022/evolutionary-alignment, sampling_analysis_v1, February 2026: pass@1, @64, @512 in per cent.
PUBLISHED = {
    "T=0.05": (0.00, 2.2, 7.0),
    "T=0.1": (0.01, 4.7, 15.6),
    "T=0.2": (0.04, 8.1, 25.8),
    "T=0.4": (0.23, 11.7, 43.8),
    "T=0.6": (0.17, 9.7, 36.7),
    "T=0.8": (0.11, 7.9, 32.0),
    "T=1": (0.06, 3.7, 20.3),
    "sigma=0.0005": (0.27, 11.1, 32.0),
    "sigma=0.001": (0.23, 11.3, 35.2),
    "sigma=0.003": (0.01, 0.6, 3.9),
    "sigma=0.005": (0.0, 0.0, 0.0),
    "sigma=0.01": (0.0, 0.0, 0.0),
}
ONLY_TEMPERATURE, ONLY_PERTURBATION, BOTH, NEITHER = 16, 5, 40, 67
TEMPERATURES, SIGMAS = 7, 5


def interval(share: float) -> tuple[float, float]:
    """Interval of pass@n, the share of problems solved: each problem is solved or not, so the variance is known."""
    if share == 0:
        return 0.0, extreme_bound(PROBLEMS, 0.05)
    error = math.sqrt(share * (1 - share) / (PROBLEMS - 1))
    hazard = -math.log1p(-share)
    half = t_quantile(0.975, PROBLEMS - 1) * error / ((1 - share) * hazard)
    return -math.expm1(-hazard * math.exp(-half)), -math.expm1(-hazard * math.exp(half))


def tables(rows: list[dict[str, Any]]) -> str:
    """The published conditions below random guessing, and the comparison of the best two."""
    chances = np.array(null_chances([row["numbers"] for row in rows], [row["target"] for row in rows]), float)
    null = {p.k: p for p in expected_curve(chances, KS).points}
    lines = [
        "| condition | pass@1 | pass@64 | pass@512 | 95 % interval of pass@512 |",
        "| --- | --- | --- | --- | --- |",
    ]
    first, *others = (100 * null[k].estimate for k in KS)
    low, high = null[512].ci_low or 0.0, null[512].ci_high or 1.0
    cells = [f"{first:.2f} %", *(f"{value:.1f} %" for value in others), f"[{100 * low:.1f}, {100 * high:.1f}]"]
    lines.append(f"| **random expressions** | {' | '.join(cells)} |")
    for label, values in PUBLISHED.items():
        low, high = (100 * end for end in interval(values[2] / 100))
        given = f"{values[0]:.2f} % | {values[1]:.1f} % | {values[2]:.1f} %"
        lines.append(f"| {label} | {given} | [{low:.1f}, {high:.1f}] |")
    d = np.repeat([-1.0, 1.0, 0.0], [ONLY_TEMPERATURE, ONLY_PERTURBATION, BOTH + NEITHER])
    half = t_quantile(0.975, PROBLEMS - 1) * d.std(ddof=1) / math.sqrt(PROBLEMS)
    around = f"[{100 * (d.mean() - half):+.1f}, {100 * (d.mean() + half):+.1f}]"
    p = mcnemar(ONLY_TEMPERATURE, ONLY_PERTURBATION)
    pairs = TEMPERATURES * SIGMAS
    reached = 1 - (1 - chances) ** SAMPLES
    lines += [
        "",
        f"solved by the best temperature {ONLY_TEMPERATURE + BOTH}, by the best sigma {ONLY_PERTURBATION + BOTH} "
        f"of {PROBLEMS}",
        f"difference {100 * d.mean():+.1f} points, by problem alone {around}; McNemar p {p:.3f}, "
        f"times {pairs} pairs {min(1, pairs * p):.2f}",
        f"random expressions solve {reached.sum():.1f} of {PROBLEMS} at {SAMPLES}, give or take "
        f"{math.sqrt((reached * (1 - reached)).sum()):.1f}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    published = json.loads(Path(sys.argv[1]).read_text())
    sys.stdout.write(tables(published[200 : 200 + PROBLEMS]))
