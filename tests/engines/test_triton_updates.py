"""The kernels of training equal the numpy path bit for bit. Here in Triton's interpreter; on a GPU: tests/gpu/check.py.

As in test_triton_noise.py all comparisons run in one process of their own, the end of this file.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

from esprobe.noise import noise_key
from esprobe.noise.updates import by_noise
from esprobe.spec import Perturbation
from tests.engines.contract import trained

torch = pytest.importorskip("torch", reason="the extra 'hf' is not installed")
pytest.importorskip("triton", reason="triton is not installed; it comes with torch's CUDA builds")

pytestmark = pytest.mark.triton

REPOSITORY = Path(__file__).parent.parent.parent
NAME = "model.layers.0.mlp.down_proj.weight"
DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Case:
    """A piece of a checkpoint tensor that is trained, then perturbed; more than one row makes it a column shard."""

    dtype: str = "float32"
    start: int = 0
    rows: int = 1
    cols: int = 1003
    row_stride: int = 0
    iterations: int = 2
    population: int = 4
    size: float = 0.01
    scheme: str = "iid"
    sign: int = 1

    def __str__(self) -> str:
        shape = f"{self.rows}x{self.cols}" + (f"-of-{self.row_stride}" if self.rows > 1 else "")
        run = f"{self.iterations}x{self.population}x{self.size:g}-{self.scheme}{self.sign:+d}"
        return f"{self.dtype}-{self.start}+{shape}-{run}"


CASES = [
    *(Case(dtype, start, sign=sign) for dtype in DTYPES for start in (0, 5, 2**32 + 3) for sign in (1, -1)),
    *(Case(dtype, 5, 33, 7, 21) for dtype in DTYPES),
    *(Case(dtype, 64, 40, 64, 128, scheme="tied") for dtype in DTYPES),
    *(Case(population=population, iterations=1) for population in (1, 2, 3, 7)),
    *(Case(dtype, size=size) for dtype in DTYPES for size in (0.0, 1e-7, 10.0)),
    Case(cols=8, iterations=9, population=30),
]


@pytest.fixture(scope="module")
def differing() -> dict[str, list[int]]:
    """Of each case how many numbers of the accumulator and of the perturbed weights differ from the numpy path's."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[int]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_numpy_path_bit_for_bit(case: Case, differing: dict[str, list[int]]) -> None:
    assert differing[str(case)] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "accumulator",
    [torch.zeros(5), torch.zeros(6).half(), torch.zeros(12)[::2]],
    ids=["too-small", "float16", "not-contiguous"],
)
def test_refuses_an_accumulator_that_it_would_misread(accumulator: "torch.Tensor") -> None:
    from esprobe.engines.triton_noise import accumulate, perturb_strided

    with pytest.raises(ValueError, match="a piece of 2 x 3 needs a contiguous accumulator"):
        accumulate(accumulator, [(1, 0.5, 0.0)], 0, 2, 3, 8)
    with pytest.raises(ValueError, match="a piece of 2 x 3 needs a contiguous accumulator"):
        perturb_strided(torch.zeros(6), torch.zeros(6), 1, 0, 2, 3, 8, 0.1, accumulator)


def compare(case: Case) -> list[int]:
    """Numbers that the kernels make other than the numpy path does: accumulator, perturbed weights, surroundings.

    Then the same two in blocks, as for weights on a GPU whose accumulator is in the machine's memory.
    """
    from esprobe.engines.slices import WeightSlice
    from esprobe.engines.triton_noise import accumulate, perturb_strided
    from esprobe.engines.weights import PristineWeights

    base = torch.randn(case.rows * case.cols, generator=torch.Generator().manual_seed(0)) * 0.02
    base[::3] = -0.0
    base = base.to(getattr(torch, case.dtype))
    numel = case.start + case.rows * max(case.row_stride, case.cols)
    expected = base.clone()
    weights = PristineWeights([WeightSlice(NAME, numel, case.start, expected, case.rows, case.row_stride)])
    trajectory = trained(case.iterations, population=case.population, size=case.size, noise=case.scheme)
    weights.evolve(trajectory)
    weights.perturb(Perturbation(57, 0.005, case.scheme, sign=case.sign))
    # Surrounded by numbers that must stay as they are.
    memory = torch.full((base.numel() + 32,), 9.0)
    memory[16:-16] = 0.0
    terms = [
        (noise_key(seed, NAME, numel, case.scheme), first, second)
        for update in trajectory.updates
        for seed, coefficients in by_noise(*update)
        for first, second in zip_longest(coefficients[::2], coefficients[1::2], fillvalue=0.0)
    ]
    shape = (case.start, case.rows, case.cols, case.row_stride)
    accumulate(memory[16:-16], terms, *shape)
    live, key = torch.full_like(base, 9.0), noise_key(57, NAME, numel, case.scheme)
    perturb_strided(live, base, key, *shape, case.sign * 0.005, memory[16:-16])
    held = weights._accumulator.part(0)
    assert held is not None
    outside = int((memory[:16] != 9.0).sum() + (memory[-16:] != 9.0).sum())
    streamed = in_blocks(base.clone(), case, numel)
    return [
        *(unequal_bits(memory[16:-16], held), unequal_bits(live, expected), outside),
        *(unequal_bits(streamed[0], held), unequal_bits(streamed[1], expected)),
    ]


def in_blocks(live: "torch.Tensor", case: Case, numel: int) -> tuple["torch.Tensor", "torch.Tensor"]:
    from esprobe.engines import accumulator, weights
    from esprobe.engines.slices import WeightSlice

    accumulator.BLOCK = weights.BLOCK = 200
    piece = WeightSlice(NAME, numel, case.start, live, case.rows, case.row_stride)
    trained_weights = weights.PristineWeights([piece])
    trajectory = trained(case.iterations, population=case.population, size=case.size, noise=case.scheme)
    trained_weights.evolve(trajectory.upto(1))
    held = trained_weights._accumulator
    part = held.part(0)
    assert part is not None
    held._add_on_gpu(accumulator._members(case.scheme, trajectory.updates[1:]), 0, part)
    trained_weights._perturb_fused(Perturbation(57, 0.005, case.scheme, sign=case.sign), 0)
    return part, live


def unequal_bits(one: "torch.Tensor", other: "torch.Tensor") -> int:
    words = torch.int32 if one.dtype == torch.float32 else torch.int16
    return int((one.reshape(-1).view(words) != other.reshape(-1).view(words)).sum())


if __name__ == "__main__":
    print(json.dumps({str(case): compare(case) for case in CASES}))
