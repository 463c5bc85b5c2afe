"""What a switch to other weights and back costs, part by part."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from esprobe.engines.slices import Span, fill_noise, shares, spans
from esprobe.engines.weights import PristineWeights
from esprobe.spec import Perturbation

_REPEATS = 15


def tell(engine: Any, sigma: float) -> None:
    """Print medians over several switches, each to a seed of its own."""
    whole = _milliseconds(lambda seed: _there_and_back(engine, Perturbation(seed, sigma)))
    worker = _worker(engine)
    weights: PristineWeights = worker.esp_weights if worker else engine._pristine
    scalars = sum(piece.live.numel() for piece in weights._weights)
    perturb = _milliseconds(lambda seed: weights.perturb(Perturbation(seed, sigma)))
    noise = _milliseconds(lambda seed: _noise_alone(weights, Perturbation(seed, sigma)))
    restore = _milliseconds(lambda seed: weights.restore())
    print(
        f"a switch there and back: {whole:.1f} ms for {scalars:,} scalars ({len(weights._weights)} tensors), of which"
    )
    print(f"  {noise:6.1f} ms noise v1 in numpy, in {weights._threads._max_workers} threads")
    print(f"  {perturb - noise:6.1f} ms reading the pristine copy, adding, rounding, writing to the live weights")
    print(f"  {restore:6.1f} ms copying the pristine weights back")
    if worker:
        calls = 2 * _milliseconds(lambda seed: engine._call("check_health"))
        labels = 2 * _milliseconds(lambda seed: engine._relabel("base"))
        print(f"  {calls:6.1f} ms two calls into the worker, {labels:.1f} ms two labels")
        print("  no reset of the prefix cache: it is off while weights change")


def _there_and_back(engine: Any, perturbation: Perturbation) -> None:
    with engine.perturbed(perturbation):
        pass


def _noise_alone(weights: PristineWeights, perturbation: Perturbation) -> None:
    """The same noise on the same threads, and nothing done with it."""

    def draw(share: list[Span]) -> None:
        noise = np.empty(sum(span.count for span in share), np.float32)
        fill_noise(weights._weights, share, perturbation.seed, perturbation.noise, noise)

    whole = [span for index, piece in enumerate(weights._weights) for span in spans(index, piece.live.numel())]
    list(weights._threads.map(draw, shares(whole)))


def _worker(engine: Any) -> Any:
    """vLLM's worker, which lives in this process."""
    if not hasattr(engine, "_llm"):
        return None
    return engine._engine.model_executor.driver_worker.worker


def _milliseconds(work: Callable[[int], object]) -> float:
    work(0)
    times = []
    for seed in range(1, 1 + _REPEATS):
        started = time.perf_counter()
        work(seed)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
