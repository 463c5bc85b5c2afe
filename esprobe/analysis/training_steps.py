"""The course of a training run, from what its iterations recorded."""

import math
import statistics
from collections.abc import Sequence

from esprobe.records.training import Iteration, TrainingRun
from esprobe.results.training_selection import Step


def steps(runs: Sequence[TrainingRun], iterations: int) -> tuple[Step, ...]:
    """Iterations 0, 1, 2, 4, ... and the last of ``iterations``, which every run has finished."""
    shown = sorted(
        {0, *(2**power for power in range(iterations.bit_length())), iterations - 1} & set(range(iterations))
    )
    return tuple(_step(number, [run.iterations[number] for run in runs]) for number in shown)


def _step(number: int, several: Sequence[Iteration]) -> Step:
    fitness = [[member.fitness for member in one.members] for one in several]
    groups = [group for group in several[0].norms if all(one.norms.get(group, (0.0, 0.0))[1] > 0 for one in several)]
    return Step(
        iteration=number,
        fitness=_mean([_mean(one) for one in fitness]),
        best=_mean([max(one) for one in fitness]),
        spread=_mean([statistics.pstdev(one) for one in fitness]),
        update=tuple(
            (group, _mean([one.norms[group][0] / one.norms[group][1] for one in several])) for group in groups
        ),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
