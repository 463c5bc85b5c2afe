"""The fused kernel equals the numpy path bit for bit. Here in Triton's interpreter; on a GPU: tests/gpu/check.py.

Triton decides on its import whether it interprets, so that all comparisons run in one process of their own (the end
of this file), and the tests read what it found.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from esprobe.noise import noise_key
from esprobe.spec import Perturbation

torch = pytest.importorskip("torch", reason="the extra 'hf' is not installed")
pytest.importorskip("triton", reason="triton is not installed; it comes with torch's CUDA builds")

pytestmark = pytest.mark.triton

REPOSITORY = Path(__file__).parent.parent.parent
NAME = "model.layers.0.mlp.down_proj.weight"


@dataclass(frozen=True)
class Case:
    """A piece of a checkpoint tensor; more than one row makes it a column shard."""

    dtype: str = "float32"
    start: int = 0
    rows: int = 1
    cols: int = 4099
    row_stride: int = 0
    sigma: float = 0.005
    seed: int = 57
    scheme: str = "iid"
    scale: float = 0.02  # standard deviation of the base weights

    def __str__(self) -> str:
        shape = f"{self.rows}x{self.cols}" + (f"-of-{self.row_stride}" if self.rows > 1 else "")
        return f"{self.dtype}-{self.start}+{shape}-sigma{self.sigma:g}-seed{self.seed}-{self.scheme}-{self.scale:g}"


DTYPES = ("float32", "float16", "bfloat16")
CASES = [
    *(
        Case(dtype, start, cols=count)
        for dtype in DTYPES
        for start in (0, 1, 7, 8, 1_000_003)
        for count in (1, 7, 8, 9, 4099)
    ),
    # Around the widths of the integers that Triton passes them as.
    *(Case(start=start, cols=20) for start in (2**31 - 9, 2**31 + 3, 2**32 - 5, 2**40 + 1)),
    *(Case(dtype, start=96 * 64, cols=32 * 64) for dtype in DTYPES),  # rows 96 to 127 of a (?, 64) tensor
    *(
        Case(dtype, start, rows, cols, row_stride)
        for dtype in DTYPES
        for start, rows, cols, row_stride in (
            (64, 40, 64, 128),  # the right half of 40 rows
            (5, 33, 7, 21),  # rows begin at every place of a block
            (3, 9, 1, 8),
            (2**32 + 1, 17, 130, 1000),
        )
    ),
    *(
        Case(dtype, seed=seed, scheme=scheme, cols=300)
        for dtype in DTYPES
        for seed in (0, 2**63 - 1, 2**64 - 1)
        for scheme in ("iid", "tied")
    ),
    *(Case(cols=40, seed=seed) for seed in range(8)),  # keys with words above and below 2**63
    *(Case(dtype, sigma=0.0, cols=300) for dtype in DTYPES),
    *(Case(dtype, sigma=sigma) for dtype in DTYPES for sigma in (-0.005, 0.1, 1e-7, 3.0)),
    *(Case(dtype, scale=scale) for dtype in DTYPES for scale in (0.0, 1e-6, 100.0)),
]


@pytest.fixture(scope="module")
def differing() -> dict[str, int]:
    """How many of each case's weights differ from the numpy path's."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_numpy_path_bit_for_bit(case: Case, differing: dict[str, int]) -> None:
    assert differing[str(case)] == 0


def test_the_cases_reach_keys_beyond_signed_integers() -> None:
    keys = [noise_key(seed, NAME, 40) for seed in range(8)]
    for words in ([key & (2**64 - 1) for key in keys], [key >> 64 for key in keys]):
        assert any(word >= 2**63 for word in words)
        assert any(word < 2**63 for word in words)


@pytest.mark.parametrize(
    ("live", "base"),
    [
        (torch.zeros(6), torch.zeros(5)),
        (torch.zeros(5), torch.zeros(5)),
        (torch.zeros(6), torch.zeros(6).half()),
        (torch.zeros(12)[::2], torch.zeros(6)),
        (torch.zeros(6).double(), torch.zeros(6).double()),
    ],
    ids=["base-too-small", "both-too-small", "two-dtypes", "not-contiguous", "float64"],
)
def test_refuses_a_piece_that_it_would_misread(live: "torch.Tensor", base: "torch.Tensor") -> None:
    from esprobe.engines.triton_noise import perturb_strided

    with pytest.raises(ValueError, match="a piece of 2 x 3 needs two contiguous tensors"):
        perturb_strided(live, base, 1, 0, 2, 3, 8, 0.1)


KERNELS = [
    *(("_perturb", dtype, trained) for dtype in ("fp32", "fp16", "bf16") for trained in (False, True)),
    ("_accumulate", "fp32", True),
]


@pytest.mark.parametrize(("kernel", "dtype", "trained"), KERNELS)
def test_compiles_for_a_gpu_and_rounds_every_operation(kernel: str, dtype: str, trained: bool, tmp_path: Path) -> None:
    """What the interpreter cannot show: that the compiler takes the kernel, and fuses no multiply-add."""
    code = (
        "import sys, triton\n"
        "from triton.backends.compiler import GPUTarget\n"
        "from esprobe.engines.triton_noise import KERNEL as kernel\n"
        "kinds = {'live': '*TYPE', 'base': '*TYPE', 'key_low': 'u64', 'key_high': 'u64', 'sigma': 'fp32',\n"
        " 'logs': '*fp64', 'turns': '*fp64', 'accumulator': '*fp32', 'keys': '*i64', 'coefficients': '*fp32',\n"
        " 'count': 'i32', 'BLOCKS': 'constexpr', 'TRAINED': 'constexpr'}\n"
        "kinds = {name: kinds.get(name, 'i64') for name in kernel.arg_names}\n"
        "values = {name: value for name, value in (('BLOCKS', 128), ('TRAINED', WHETHER)) if name in kinds}\n"
        "source = triton.compiler.ASTSource(kernel, kinds, values)\n"
        "compiled = triton.compile(source, GPUTarget('cuda', 90, 32), {'enable_fp_fusion': False})\n"
        "print(compiled.asm['ptx'])\n"
    )
    for word, value in (("TYPE", dtype), ("KERNEL", kernel), ("WHETHER", str(trained))):
        code = code.replace(word, value)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\bmul\.rn\.f32\b", done.stdout)
    assert re.search(r"\badd\.rn\.f32\b", done.stdout)
    assert not re.search(r"\b(fma|mad)[\w.]*\.f(32|64)\b|\.ftz\.f32\b", done.stdout)
    # Every float64 operation is one that IEEE 754 defines to the bit, and says so; the rest only compares and copies.
    operations = set(re.findall(r"\b(\w+)((?:\.\w+)*)\.f64\b", done.stdout))
    arithmetic = {(name, how) for name, how in operations if name not in ("neg", "selp", "setp", "cvt", "mov")}
    assert arithmetic == {(name, ".rn") for name in ("add", "sub", "mul", "div", "sqrt")}


def count_differing(case: Case) -> int:
    """Weights that the kernel makes other than PristineWeights makes them on a CPU."""
    from esprobe.engines.slices import WeightSlice
    from esprobe.engines.triton_noise import perturb_slice, perturb_strided
    from esprobe.engines.weights import PristineWeights

    generator = torch.Generator().manual_seed(0)
    base = torch.randn(case.rows, case.cols, generator=generator) * case.scale
    base.view(-1)[::3] = -0.0
    base = base.to(getattr(torch, case.dtype))
    numel = case.start + case.rows * max(case.row_stride, case.cols)
    expected = base.clone()
    slices = [WeightSlice(NAME, numel, case.start + r * case.row_stride, row) for r, row in enumerate(expected)]
    PristineWeights(slices).perturb(Perturbation(case.seed, case.sigma, case.scheme))
    key = noise_key(case.seed, NAME, numel, case.scheme)
    # Surrounded by weights that must stay as they are.
    memory = torch.full((base.numel() + 32,), 9.0, dtype=base.dtype)
    live = memory[16:-16]
    if case.rows == 1:
        perturb_slice(live, base, key, case.start, case.sigma)
    else:
        perturb_strided(live.view(base.shape), base, key, case.start, case.rows, case.cols, case.row_stride, case.sigma)
    outside = int((memory[:16] != 9.0).sum() + (memory[-16:] != 9.0).sum())
    return outside + unequal_bits(live, expected) + (unequal_bits(expected, base) if case.sigma == 0 else 0)


def unequal_bits(one: "torch.Tensor", other: "torch.Tensor") -> int:
    words = torch.int32 if one.dtype == torch.float32 else torch.int16
    return int((one.reshape(-1).view(words) != other.reshape(-1).view(words)).sum())


if __name__ == "__main__":
    print(json.dumps({str(case): count_differing(case) for case in CASES}))
