"""Whether each tensor, perturbed alone, changes what every captured graph computes.

An engine with CUDA graphs has one for each of some numbers of tokens, so that a probe of one prompt sees few of them.
A graph computes at the addresses that it was captured with: after a tensor has moved, it goes on with the old memory.
Each graph is compared with itself without noise, so that other kernels for other sizes make no difference.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence

from esprobe.doctor.checks import CANARIES, STEPS, Check, beyond
from esprobe.doctor.liveness import FACTORS, SEED, SMALLEST_SCALE, representatives
from esprobe.engines.probe import GraphedEngine, Reading, distance
from esprobe.spec import Perturbation

_PROMPT = CANARIES[0]
_Probe = Callable[[int, Perturbation | None], list[Reading]]


def graphs(
    engine: GraphedEngine, names: Sequence[str], scales: Mapping[str, float], sizes: Sequence[int]
) -> tuple[list[Check], list[str]]:
    """A check of the graphs of prefills and one of those of decode steps, and the tensors that are dead in any.

    Args:
        engine: loaded to perturb.
        names: the checkpoint's tensors, tied copies left out.
        scales: root mean square of each tensor's weights.
        sizes: numbers of tokens whose graphs are checked.
    """

    def prefill(size: int, noise: Perturbation | None) -> list[Reading]:
        if noise is None:
            return engine.probe_prefill(_PROMPT, size)
        with engine.perturbed(noise):
            return engine.probe_prefill(_PROMPT, size)

    def decode(size: int, noise: Perturbation | None) -> list[Reading]:
        return engine.probe_decode(_PROMPT, size, STEPS, noise)

    chosen = representatives(names)
    checks, dead = [], set()
    for stage, probe, first in (("prefills", prefill, 0), ("decode steps", decode, 1)):
        check, found = _check(stage, probe, first, chosen, scales, sizes)
        checks.append(check)
        dead |= found
    return checks, [name for name in chosen if name in dead]


def _check(
    stage: str,
    probe: _Probe,
    first: int,
    names: Sequence[str],
    scales: Mapping[str, float],
    sizes: Sequence[int],
) -> tuple[Check, set[str]]:
    base = {size: readings for size in sizes if (readings := probe(size, None))}
    floors = {size: distance(probe(size, None), readings, first) for size, readings in base.items()}
    unsteady = [size for size, floor in floors.items() if floor == math.inf]
    dead: dict[str, list[int]] = {}
    for name in names:
        waiting = [size for size in base if size not in unsteady]
        for factor in FACTORS:
            alone = Perturbation(SEED, factor * max(scales[name], SMALLEST_SCALE), scope=f"^{re.escape(name)}$")
            waiting = [s for s in waiting if distance(probe(s, alone), base[s], first) <= beyond(floors[s])]
            if not waiting:
                break
        else:
            dead[name] = waiting
    said = [f"{name} in those of {', '.join(map(str, found))}" for name, found in dead.items()]
    if unsteady:
        said.append(f"two answers differ in those of {', '.join(map(str, unsteady))}")
    good = f"{len(base):,} of {len(sizes):,} sizes: each of {len(names):,} tensors, perturbed alone, changes them"
    return Check(f"graphs of {stage}", not said, good if not said else f"dead or unsteady: {'; '.join(said)}"), set(
        dead
    )
