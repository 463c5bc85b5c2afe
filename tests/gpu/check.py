"""Everything that only a CUDA machine can show, in one command; prints a table, exits with 1 if a check fails.

    PYTHONPATH=. python tests/gpu/check.py --model FOLDER --vllm

Needs torch, triton and numpy; with transformers and with vLLM it checks more, and says what it skipped without them.
Without a CUDA device it says so and exits with 2. Timings are printed, never judged.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from esprobe.doctor.checks import CANARIES, STEPS
from esprobe.doctor.diagnosis import examine
from esprobe.engines.base import EngineOptions
from esprobe.engines.checkpoint import find_checkpoint
from esprobe.engines.probe import Reading, distance
from esprobe.noise import fill_standard_normal, noise_key
from esprobe.spec import Perturbation, Prompt, Request
from esprobe.trajectory import Trajectory, Update

DEVICE = torch.device("cuda")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SAMPLE = 100_000_000
CHUNK = 1 << 20
SEED = 57
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Table:
    """Rows as they come; remembers whether one failed."""

    def __init__(self) -> None:
        self.failed = 0

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        self.failed += not passed
        self._row("ok" if passed else "FAIL", name, detail)

    def value(self, name: str, detail: str) -> None:
        self._row("", name, detail)

    def skipped(self, name: str, why: str) -> None:
        self._row("skipped", name, why)

    def section(self, name: str, body: Callable[..., None], *arguments: Any) -> None:
        """Run a group of checks; what it raises fails it and does not stop the others."""
        try:
            body(self, *arguments)
        except Exception as err:
            traceback.print_exc()
            self.check(name, False, f"{type(err).__name__}: {str(err).splitlines()[0] if str(err) else ''}")
        gc.collect()
        torch.cuda.empty_cache()

    def _row(self, verdict: str, name: str, detail: str) -> None:
        print(f"{verdict:8}{name:58}{detail}".rstrip(), flush=True)


# -- the kernel -------------------------------------------------------------------------------------------------------


def by_numpy(base: torch.Tensor, key: int, start: int, sigma: float) -> torch.Tensor:
    """The definition: noise from numpy, product, sum and dtype rounded one by one, on the CPU."""
    noise = np.empty(base.numel(), np.float32)
    fill_standard_normal([(key, start, noise)])
    noise *= np.float32(sigma)
    return torch.from_numpy(noise).add_(base.float()).to(base.dtype)


def steps_apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """How many values of the dtype lie between the elements of two tensors; -0.0 and 0.0 count as one apart."""

    def ordered(values: torch.Tensor) -> torch.Tensor:
        bits = values.view(torch.int32 if values.element_size() == 4 else torch.int16).to(torch.int64)
        return torch.where(bits < 0, -1 - (bits & (2 ** (8 * values.element_size() - 1) - 1)), bits)

    return (ordered(one) - ordered(other)).abs()


def difference(live: torch.Tensor, base: torch.Tensor, key: int, start: int, sigma: float) -> tuple[int, int]:
    """Elements of ``live`` that are not numpy's, and the most steps that one is off; in chunks, on all cores."""

    def of_chunk(offset: int) -> tuple[int, int]:
        here = slice(offset, offset + CHUNK)
        expected = by_numpy(base[here].cpu(), key, start + offset, sigma)
        steps = steps_apart(live[here].cpu(), expected)
        return int((steps != 0).sum()), int(steps.max())

    with ThreadPoolExecutor(CPUS) as threads:
        found = list(threads.map(of_chunk, range(0, base.numel(), CHUNK)))
    return sum(count for count, _ in found), max((steps for _, steps in found), default=0)


def perturbed_by_kernel(base: torch.Tensor, key: int, start: int, sigma: float) -> torch.Tensor:
    from esprobe.engines.triton_noise import perturb_slice

    live = torch.full_like(base, 9.0)
    perturb_slice(live, base, key, start, sigma)
    return live


def differences(count: int, steps: int, of: int) -> str:
    return f"{of:,} elements, {count:,} differ" + (f", by up to {steps} ulp" if count else "")


def kernel_on_samples(table: Table, sample: int, sigma: float) -> None:
    from esprobe.engines.triton_noise import perturb_strided

    key = noise_key(SEED, "sample", sample)
    zeros = torch.zeros(sample, device=DEVICE)
    count, steps = difference(perturbed_by_kernel(zeros, key, 0, 1.0), zeros, key, 0, 1.0)
    # Among 100 million are some 200 that the kernel settles in pairs of float64s.
    table.check("bare noise, float32: as numpy", count == 0, differences(count, steps, sample))
    base32 = torch.randn(sample, device=DEVICE) * 0.02
    for dtype in DTYPES:
        base = base32.to(dtype)
        live = perturbed_by_kernel(base, key, 1_000_003, sigma)
        count, steps = difference(live, base, key, 1_000_003, sigma)
        table.check(f"one large tensor, {short(dtype)}: as numpy", count == 0, differences(count, steps, sample))
    rows, cols, row_stride, start = 500, 3000, 8191, 5
    for dtype in DTYPES:
        base = (torch.randn(rows * cols, device=DEVICE) * 0.02).to(dtype)
        live = torch.full_like(base, 9.0)
        perturb_strided(live, base, key, start, rows, cols, row_stride, sigma)
        pairs = zip(live.cpu().split(cols), base.cpu().split(cols), strict=True)
        off = [steps_apart(a, by_numpy(b, key, start + r * row_stride, sigma)) for r, (a, b) in enumerate(pairs)]
        count, steps = sum(int((s != 0).sum()) for s in off), max(int(s.max()) for s in off)
        table.check(f"column shard, {short(dtype)}: as numpy", count == 0, differences(count, steps, rows * cols))
    for dtype in DTYPES:
        base = torch.where(torch.rand(4099, device=DEVICE) < 0.5, -0.0, 0.02).to(dtype)
        apart = steps_apart(perturbed_by_kernel(base, key, 3, 0.0), base)
        table.check(f"sigma 0, {short(dtype)}: every bit as it was", int((apart != 0).sum()) == 0)


def kernel_on_model(table: Table, model: str, sigma: float) -> None:
    for dtype in DTYPES:
        count = steps = elements = tensors = 0
        for name, tensor in checkpoint_tensors(model):
            base = tensor.to(DEVICE, dtype).reshape(-1)
            key = noise_key(SEED, name, base.numel())
            here = difference(perturbed_by_kernel(base, key, 0, sigma), base, key, 0, sigma)
            count, steps = count + here[0], max(steps, here[1])
            elements, tensors = elements + base.numel(), tensors + 1
        detail = differences(count, steps, elements)
        table.check(f"all {tensors} tensors of the model, {short(dtype)}: as numpy", count == 0, detail)


def checkpoint_tensors(model: str) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import safe_open

    for path in find_checkpoint(model).weights:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                if (tensor := file.get_tensor(name)).is_floating_point():
                    yield name, tensor


# -- timings ----------------------------------------------------------------------------------------------------------


def milliseconds(work: Callable[[], object], repeats: int = 20) -> float:
    """Median time of ``work`` on the device, after it has been run to warm up."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begun.record()
        work()
        ended.record()
        ended.synchronize()
        times.append(begun.elapsed_time(ended))
    return float(statistics.median(times))


def by_torch(live: torch.Tensor, base: torch.Tensor, sigma: float) -> None:
    """What published code does: a noise tensor from torch's own generator, then a sum."""
    torch.add(base, torch.randn_like(base), alpha=sigma, out=live)


def kernel_timings(table: Table, sample: int, sigma: float) -> None:
    from esprobe.engines.triton_noise import perturb_slice

    key = noise_key(SEED, "sample", sample)
    scale = SAMPLE / sample
    for dtype in DTYPES:
        base = (torch.randn(sample, device=DEVICE) * 0.02).to(dtype)
        live = torch.empty_like(base)
        kernel = scale * milliseconds(partial(perturb_slice, live, base, key, 0, sigma))
        torchs = scale * milliseconds(partial(by_torch, live, base, sigma))
        copy = scale * milliseconds(partial(live.copy_, base))
        bandwidth = 2 * SAMPLE * base.element_size() / copy / 1e6
        table.value(
            f"100M weights, {short(dtype)}",
            f"kernel {kernel:.3f} ms; randn_like and add {torchs:.3f} ms; copy {copy:.3f} ms "
            f"({bandwidth:,.0f} GB/s, what memory allows): kernel / copy = {kernel / copy:.2f}",
        )


# -- the transformers engine ------------------------------------------------------------------------------------------


def canaries(count: int = 16, max_tokens: int = 32, temperature: float | None = None) -> list[Request]:
    texts = [f"Using the numbers {i + 2}, {3 * i + 1} and 25, create an equation that equals" for i in range(count)]
    return [
        Request(
            i,
            i,
            0,
            Prompt((), text),
            max_tokens,
            temperature=temperature,
            sampling_seed=None if temperature is None else i,
        )
        for i, text in enumerate(texts)
    ]


def answers(engine: Any, requests: Sequence[Request]) -> list[str]:
    """Texts in the order of the requests, in batches that the engine can take."""
    size = engine.batch_size or len(requests)
    found: dict[int, str] = {}
    for first in range(0, len(requests), size):
        for batch in engine.generate(requests[first : first + size], lambda: False):
            found |= {completion.request.problem_id: completion.text for completion in batch}
    return [found[request.problem_id] for request in requests]


def changed(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def on_the_cpu(model: str, dtype: str) -> tuple[Any, Callable[[], str]]:
    """The model's weights on the CPU, where numpy makes the noise, and their digest."""
    from transformers import AutoModelForCausalLM

    from esprobe.engines.weights import PristineWeights, digest_of_weights, whole_weights

    checkpoint = find_checkpoint(model)
    loaded = AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=getattr(torch, dtype), local_files_only=True)
    slices = whole_weights(loaded, checkpoint, dtype)
    return PristineWeights(slices), lambda: digest_of_weights(slices)


def reference(model: str, dtype: str, perturbation: Perturbation) -> tuple[str, str, int]:
    """Digests of the weights and of the perturbed ones, and the scalars touched: numpy, on the CPU."""
    weights, digest = on_the_cpu(model, dtype)
    base = digest()
    with weights.perturbed(perturbation) as touched:
        return base, digest(), touched


def run_of(iterations: int, population: int, size: float) -> Trajectory:
    """Updates with pairs of one seed and single members; a pair's coefficients differ."""
    updates = (
        Update(
            (first, *range(first, first + population - 1)),
            tuple(float(torch.tensor(size * (-1) ** j / (1 + j))) for j in range(population)),
        )
        for first in range(0, iterations * population, population)
    )
    return Trajectory("gpu check", updates=tuple(updates))


def trained_reference(model: str, dtype: str, trajectory: Trajectory, member: Perturbation) -> tuple[str, str, str]:
    """Digests of the state, of the trained weights and of a member of their population: numpy, on the CPU."""
    from esprobe.engines.state import state_digest

    weights, digest = on_the_cpu(model, dtype)
    state = state_digest((piece.name, sums) for piece, sums in weights.evolve(trajectory))
    trained = digest()
    with weights.perturbed(member):
        return state, trained, digest()


def training(table: Table, name: str, engine: Any, model: str, dtype: str, sigma: float) -> None:
    base, trajectory, member = engine.weight_digest(), run_of(3, 8, sigma / 4), Perturbation(SEED, sigma, sign=-1)
    expected = trained_reference(model, dtype, trajectory, member)
    state, trained = engine.evolve(trajectory), engine.weight_digest()
    with engine.perturbed(member):
        found = state, trained, engine.weight_digest()
    for what, ours, theirs in zip(("state", "trained weights", "a mirrored member"), found, expected, strict=True):
        table.check(f"{name}: {what} as on the CPU", ours == theirs, ours[:16])
    again = engine.weight_digest()
    table.check(f"{name}: trained weights after a member", again == trained != base, again[:16])
    longer = run_of(32, 30, sigma / 100)
    engine.evolve(longer.upto(2))
    torch.cuda.synchronize()
    begun = time.perf_counter()
    engine.evolve(longer)
    torch.cuda.synchronize()
    table.value(f"{name}: an update of 30", f"{(time.perf_counter() - begun) / 30 * 1e3:.2f} ms")
    engine.evolve(longer.upto(0))
    table.check(f"{name}: the loaded weights come back", engine.weight_digest() == base, base[:16])


def transformers_engine(table: Table, model: str, dtype: str, sigma: float) -> None:
    from esprobe.engines.transformers import TransformersEngine
    from esprobe.engines.weights import PristineWeights, whole_weights

    engine = TransformersEngine.load(TransformersEngine.identify(model, dtype), EngineOptions(batch_size=16))
    name = f"transformers, {dtype}"
    requests = canaries()
    answers(engine, requests)  # the first batch may choose its kernels
    before, base = answers(engine, requests), engine.weight_digest()
    for noise in ("iid", "tied"):
        perturbation = Perturbation(SEED, sigma, noise)
        expected = reference(model, dtype, perturbation)
        with engine.perturbed(perturbation) as touched:
            during, perturbed = answers(engine, requests), engine.weight_digest()
        restored, after = engine.weight_digest(), answers(engine, requests)
        table.check(f"{name}, {noise}: scalars touched", touched == expected[2], f"{touched:,} of {expected[2]:,}")
        table.check(f"{name}, {noise}: weights as on the CPU", (base, perturbed) == expected[:2], perturbed[:16])
        table.check(f"{name}, {noise}: restored bit for bit", restored == base != perturbed, base[:16])
        moved = changed(before, during)
        table.check(f"{name}, {noise}: greedy texts change", moved > 0, f"{moved} of {len(before)} at sigma {sigma:g}")
        back = changed(before, after)
        table.check(f"{name}, {noise}: and are the same after", back == 0, f"{back} of {len(before)} differ")
    weights = PristineWeights(whole_weights(engine._model, engine._checkpoint, dtype))
    perturbation = Perturbation(SEED, sigma, "iid")
    training(table, name, engine, model, dtype, sigma)
    switch, back_again = milliseconds(lambda: weights.perturb(perturbation)), milliseconds(weights.restore)
    table.value(f"{name}: switching all weights", f"perturb {switch:.2f} ms, restore {back_again:.2f} ms")


# -- the vLLM engine --------------------------------------------------------------------------------------------------


def vllm_engine(table: Table, model: str, dtype: str, sigma: float) -> None:
    base, perturbed, scalars = reference(model, dtype, Perturbation(SEED, sigma, "iid"))
    trained = trained_reference(model, dtype, run_of(3, 8, sigma / 4), Perturbation(SEED, sigma, sign=-1))[:2]
    readings: dict[str, list[Reading]] = {}
    for mode in ("eager", "graphs"):
        name = f"vLLM, {dtype}, {mode}"
        command = [sys.executable, __file__, "--model", model, "--dtype", dtype, "--sigma", str(sigma)]
        # A process each: vLLM gives its memory back to nobody else.
        done = subprocess.run([*command, "--vllm-child", mode], check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            table.check(name, False, f"exit code {done.returncode}; what it wrote is above")
            continue
        told = json.loads(done.stdout.splitlines()[-1])
        table.check(f"{name}: scalars touched", told["touched"] == scalars, f"{told['touched']:,} of {scalars:,}")
        same = (told["base"], told["perturbed"]) == (base, perturbed)
        table.check(f"{name}: weights as on the CPU", same, told["perturbed"][:16])
        same = (told["state"], told["trained"]) == trained
        table.check(f"{name}: trained weights as on the CPU", same, told["trained"][:16])
        table.check(f"{name}: restored bit for bit", told["restored"] == told["base"], told["restored"][:16])
        table.check(f"{name}: greedy texts change", told["moved"] > 0, f"{told['moved']} of {told['canaries']}")
        table.check(f"{name}: and are the same after", told["back"] == 0, f"{told['back']} differ")
        for check, held, detail in told["doctor"]:
            table.check(f"{name}: doctor, {check}", held, detail)
        readings[mode] = [Reading(tuple(tokens), tuple(map(tuple, rows))) for tokens, rows in told["readings"]]
        table.value(f"{name}: tokens/s", f"{told['tokens_per_second']:,.0f} ({told['tokens']:,} tokens)")
        table.value(f"{name}: switching weights", f"perturb {told['perturb']:.2f} ms, restore {told['restore']:.2f} ms")
    if len(readings) == 2:  # judged by whoever reads it: other kernels round in other ways
        apart = distance(readings["eager"], readings["graphs"])
        table.value(f"vLLM, {dtype}: perturbed log-probabilities, graphs against eager", f"up to {apart:.2g} apart")


def vllm_child(model: str, dtype: str, sigma: float, mode: str) -> None:
    """One engine's findings, as the last line of stdout."""
    from esprobe.engines.vllm import VllmEngine

    options = EngineOptions(perturbs=True, enforce_eager=mode == "eager", gpu_memory_utilization=0.7)
    engine = VllmEngine.load(VllmEngine.identify(model, dtype), options)
    requests = canaries()
    answers(engine, requests)
    before = answers(engine, requests)
    told: dict[str, Any] = {"canaries": len(before), "base": engine.weight_digest()}
    perturbation = Perturbation(SEED, sigma, "iid")
    with engine.perturbed(perturbation) as touched:
        told |= {"touched": touched, "moved": changed(before, answers(engine, requests))}
        told["perturbed"] = engine.weight_digest()
        told["readings"] = [[reading.tokens, reading.logprobs] for reading in engine.probe(CANARIES, STEPS)]
    found = examine(engine, find_checkpoint(model), VllmEngine.identify(model, dtype), "vllm", [sigma])
    told["doctor"] = [[check.name, check.ok, check.detail] for check in found.checks]
    trajectory = run_of(3, 8, sigma / 4)
    told |= {"state": engine.evolve(trajectory), "trained": engine.weight_digest()}
    engine.evolve(trajectory.upto(0))
    told |= {"restored": engine.weight_digest(), "back": changed(before, answers(engine, requests))}
    told["perturb"] = milliseconds(lambda: engine._call("esp_perturb", asdict(perturbation)))
    told["restore"] = milliseconds(lambda: engine._call("esp_restore"))
    many = canaries(2048, 128, temperature=1.0)
    begun = time.perf_counter()
    tokens = sum(completion.token_count for batch in engine.generate(many, lambda: False) for completion in batch)
    told |= {"tokens": tokens, "tokens_per_second": tokens / (time.perf_counter() - begun)}
    print(f"\n{json.dumps(told)}", flush=True)


# -- the command ------------------------------------------------------------------------------------------------------


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown (no nvidia-smi)"


def describe(table: Table) -> None:
    device = torch.cuda.get_device_properties(DEVICE)
    table.value("device", f"{device.name}, {device.total_memory / 2**30:.0f} GiB, driver {driver()}")
    versions = ", ".join(f"{name} {installed(name)}" for name in ("torch", "triton", "numpy", "transformers", "vllm"))
    table.value("versions", f"{versions}, CUDA {torch.version.cuda}, Python {sys.version.split()[0]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="tiny", help="a checkpoint folder, or tiny (bundled)")
    parser.add_argument("--dtype", default="bfloat16", choices=[short(dtype) for dtype in DTYPES], help="for engines")
    parser.add_argument("--sigma", type=float, default=0.02, help="large enough that greedy texts change")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="elements of the large tensor")
    parser.add_argument("--vllm", action="store_true", help="check vLLM too, with and without CUDA graphs")
    parser.add_argument("--vllm-child", choices=("eager", "graphs"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"no CUDA device (torch {torch.__version__}), so there is nothing to check here")
        return 2
    if chosen.vllm_child:
        vllm_child(chosen.model, chosen.dtype, chosen.sigma, chosen.vllm_child)
        return 0
    table = Table()
    describe(table)
    table.section("kernel on samples", kernel_on_samples, chosen.sample, chosen.sigma)
    table.section("kernel timings", kernel_timings, chosen.sample, chosen.sigma)
    if find_spec("safetensors"):
        table.section("kernel on the model", kernel_on_model, chosen.model, chosen.sigma)
    else:
        table.skipped("kernel on the model's tensors", "safetensors is not installed")
    engine = (chosen.model, chosen.dtype, chosen.sigma)
    if find_spec("transformers"):
        table.section("transformers engine", transformers_engine, *engine)
    else:
        table.skipped("transformers engine: weights, restore, texts", "transformers is not installed")
    if chosen.vllm and find_spec("vllm"):
        table.section("vLLM engine", vllm_engine, *engine)
    else:
        why = "vllm is not installed" if chosen.vllm else "not asked for; add --vllm"
        table.skipped("vLLM engine: weights, restore, texts, tokens/s", why)
    print(f"{table.failed} failed" if table.failed else "all checks passed")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
