"""Training in place: the weights after updates are ES v1's to the bit, however the model is cut up."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'hf' is not installed")

from esprobe.engines import EngineOptions  # noqa: E402 - needs torch
from esprobe.engines.checkpoint import find_checkpoint  # noqa: E402
from esprobe.engines.slices import WeightSlice  # noqa: E402
from esprobe.engines.state import state_digest, sums_of  # noqa: E402
from esprobe.engines.transformers import TransformersEngine  # noqa: E402
from esprobe.engines.weights import PristineWeights  # noqa: E402
from esprobe.noise import standard_normal  # noqa: E402
from esprobe.noise.updates import add_update, evolved  # noqa: E402
from esprobe.spec import Perturbation  # noqa: E402
from esprobe.trajectory import Trajectory, Update  # noqa: E402
from tests.engines.contract import trained  # noqa: E402
from tests.noise.test_updates import NAME, UPDATES  # noqa: E402

DTYPES = ("float32", "bfloat16", "float16")


GOLDEN = {
    "float32": ("3CC5433E BA72C762 3F80239A C04011D7 3AB72483", "3CAC23B3 BB1888FF 3F80D810 C040403F 3AFC4F3A"),
    "bfloat16": ("3CC5 BA73 3F80 C040 3AB7", "3CAC BB19 3F81 C040 3AFC"),
    "float16": ("262A 9396 3C01 C201 15B9", "2561 98C4 3C07 C202 17E2"),
}
"""Bits of trained weights, and of them perturbed by the mirror image of seed 57 at sigma 0.005; see docs/noise.md."""


@pytest.mark.parametrize("dtype", DTYPES)
def test_golden_values(dtype: str) -> None:
    live = torch.tensor([0.02, -0.0, 1.0, -3.0, 1e-4]).to(getattr(torch, dtype))
    weights = PristineWeights([WeightSlice(NAME, 1005, 1000, live)])
    weights.evolve(Trajectory("golden", updates=tuple(Update(*update) for update in UPDATES)))
    trained_bits = live.clone().view(torch.uint8)
    weights.perturb(Perturbation(57, 0.005, sign=-1))
    for expected, found in zip(GOLDEN[dtype], (trained_bits, live.view(torch.uint8)), strict=True):
        numbers = found.numpy().reshape(5, -1)[:, ::-1]  # little-endian
        assert [number.tobytes().hex().upper() for number in numbers] == expected.split()


def accumulator_of(trajectory: Trajectory, name: str, count: int) -> np.ndarray:
    found = np.zeros(count, np.float32)
    for update in trajectory.updates:
        add_update(found, *update, name, scheme=trajectory.noise)
    return found


def load(folder: Path, dtype: str) -> TransformersEngine:
    return TransformersEngine.load(TransformersEngine.identify(str(folder), dtype), EngineOptions(batch_size=8))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scheme", ["iid", "tied"])
def test_weights_are_es_v1_to_the_bit(checkpoint: Path, dtype: str, scheme: str) -> None:
    engine = load(checkpoint, dtype)
    base = {name: tensor.clone() for name, tensor in engine._model.state_dict().items()}
    trajectory = trained(3, noise=scheme)
    engine.evolve(trajectory)
    for sigma, sign in ((None, 1), (0.005, 1), (0.005, -1)):
        perturbation = Perturbation(seed=57, sigma=sigma or 0.0, noise=scheme, sign=sign)
        with engine.perturbed(perturbation):
            for name in find_checkpoint(str(checkpoint)).tensors:
                flat = base[name].float().numpy().reshape(-1)
                exact = evolved(flat, accumulator_of(trajectory, name, flat.size))
                if sigma is not None:
                    noise = standard_normal(57, name, 0, flat.size, scheme)
                    exact = exact + np.float32(sign) * np.float32(sigma) * noise
                live = engine._model.state_dict()[name].reshape(-1)
                assert torch.equal(live, torch.from_numpy(exact).to(live.dtype)), name


def test_only_tensors_in_scope_are_trained(checkpoint: Path) -> None:
    engine = load(checkpoint, "float32")
    base = {name: tensor.clone() for name, tensor in engine._model.state_dict().items()}
    engine.evolve(trained(2, scope="mlp"))
    for name, live in engine._model.state_dict().items():
        assert torch.equal(live, base[name]) == ("mlp" not in name), name


def state_by_definition(accumulators: dict[str, np.ndarray]) -> str:
    """In Python's own integers."""
    digest = hashlib.sha256()
    for name, values in sorted(accumulators.items()):
        words = values.view(np.uint32).tolist()
        first, second = sum(words) % 2**64, sum((i + 1) * word for i, word in enumerate(words)) % 2**64
        if first or second:
            digest.update(name.encode() + b"\0" + first.to_bytes(8, "little") + second.to_bytes(8, "little"))
    return digest.hexdigest()


def test_the_state_is_named_by_exact_sums(checkpoint: Path) -> None:
    engine, trajectory = load(checkpoint, "bfloat16"), trained(2, scope="mlp|embed")
    sizes = {name: tensor.numel() for name, tensor in engine._model.state_dict().items()}
    expected = {
        name: accumulator_of(trajectory, name, sizes[name])
        for name in find_checkpoint(str(checkpoint)).tensors
        if "mlp" in name or "embed" in name
    }
    assert engine.evolve(trajectory) == state_by_definition(expected)
    assert engine.evolve(trained(0)) == state_by_definition({}) == hashlib.sha256().hexdigest()


def test_the_sums_wrap_around() -> None:
    values = np.full(3_000_000, -1e30, np.float32)  # sums of bits times places beyond 2**64
    words = int(values.view(np.uint32)[0])
    found = sums_of(torch.from_numpy(values), WeightSlice("a", values.size, 0, torch.from_numpy(values)))
    assert words * sum(range(1, values.size + 1)) > 2**64
    assert found == (words * values.size % 2**64, words * (values.size * (values.size + 1) // 2) % 2**64)


def cut(matrix: "torch.Tensor") -> list[WeightSlice]:
    """A tensor as a model might hold it: the upper rows in one piece, the lower ones as two column shards."""
    rows, cols = matrix.shape
    half, left = rows // 2, cols // 3
    lower = matrix[half:]
    return [
        WeightSlice("w", matrix.numel(), 0, matrix[:half].contiguous().view(-1)),
        *(
            WeightSlice("w", matrix.numel(), half * cols + first, part.contiguous().view(-1), rows - half, cols)
            for first, part in ((0, lower[:, :left]), (left, lower[:, left:]))
        ),
    ]


@pytest.mark.parametrize("most", [1, 5, 7, 30, 10_000])
@pytest.mark.parametrize(("rows", "cols", "row_stride"), [(1, 100, 0), (9, 7, 21), (4, 1, 5)])
def test_blocks_cut_a_piece_without_moving_its_elements(rows: int, cols: int, row_stride: int, most: int) -> None:
    piece = WeightSlice("w", 1000, 11, torch.zeros(rows * cols), rows, row_stride)
    expected = [start + i for start, length in piece.runs(0, rows * cols) for i in range(length)]
    found: list[int] = []
    for block in piece.blocks(most):
        assert (block.place.start, block.place.stop) == (len(found), len(found) + block.count)
        assert block.count <= max(most, cols) and (rows > 1 or block.count <= most)
        found += [block.start + r * block.row_stride + c for r in range(block.rows) for c in range(block.cols)]
    assert found == expected


def test_sums_of_a_shard_of_many_blocks_are_those_of_its_elements() -> None:
    whole = torch.randn(3000, 1500, generator=torch.Generator().manual_seed(0))
    shard = whole[:, 400:1400].contiguous().view(-1)
    words = shard.numpy().view(np.uint32).astype(np.uint64).reshape(3000, 1000)
    index = np.arange(3000, dtype=np.uint64)[:, None] * np.uint64(1500) + np.arange(401, 1401, dtype=np.uint64)
    found = sums_of(shard, WeightSlice("w", whole.numel(), 400, shard, 3000, 1500))
    assert found == (int(words.sum()), int((words * index).sum()))  # numpy's unsigned integers wrap around


@pytest.mark.parametrize("dtype", DTYPES)
def test_pieces_are_pieces_of_the_whole(dtype: str) -> None:
    matrix = torch.randn(700, 1001, generator=torch.Generator().manual_seed(0)).to(getattr(torch, dtype)) * 0.02
    whole, pieces = [WeightSlice("w", matrix.numel(), 0, matrix.clone().view(-1))], cut(matrix)
    trajectory = trained(2, size=0.001)
    one, several = PristineWeights(whole), PristineWeights(pieces)
    digests = [
        state_digest((weight.name, sums) for weight, sums in weights.evolve(trajectory)) for weights in (one, several)
    ]
    assert digests[0] == digests[1] == state_by_definition({"w": accumulator_of(trajectory, "w", matrix.numel())})
    for weights in (one, several):
        weights.perturb(Perturbation(57, 0.005, sign=-1))
    evolved_whole = whole[0].live.view(matrix.shape)
    for expected, piece in zip(cut(evolved_whole), pieces, strict=True):
        assert torch.equal(expected.live, piece.live)


def test_a_settled_model_is_as_if_loaded(checkpoint: Path, tmp_path: Path) -> None:
    engine, trajectory = load(checkpoint, "bfloat16"), trained(2)
    engine.evolve(trajectory)
    engine._model.save_pretrained(tmp_path / "settled")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "settled" / name).write_bytes((checkpoint / name).read_bytes())
    engine.settle()
    loaded = load(tmp_path / "settled", "bfloat16")
    for step in (trained(0), trained(1, run=1)):
        assert engine.evolve(step) == loaded.evolve(step)
        assert engine.weight_digest() == loaded.weight_digest()
        with engine.perturbed(Perturbation(3, 0.01)), loaded.perturbed(Perturbation(3, 0.01)):
            assert engine.weight_digest() == loaded.weight_digest()


class Interrupt(Exception):
    """What a signal handler raises, as Ctrl-C does."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signals")
@pytest.mark.parametrize("after", [0.001, 0.03, 0.1])
def test_an_interrupt_leaves_no_half_made_state(after: float) -> None:
    def handler(number: int, frame: object) -> None:
        raise Interrupt

    live = torch.randn(1_500_000, generator=torch.Generator().manual_seed(0))
    base = live.clone()
    weights, trajectory = PristineWeights([WeightSlice("w", live.numel(), 0, live)]), trained(40)
    weights.evolve(trained(1))  # starts the threads
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        with pytest.raises(Interrupt):
            weights.evolve(trajectory)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # On a busy machine the signal may come before anything was changed.
    first = torch.from_numpy(evolved(base.numpy(), accumulator_of(trained(1), "w", live.numel())))
    assert torch.equal(live, base) or torch.equal(live, first)
    weights.evolve(trained(2))
    assert torch.equal(live, torch.from_numpy(evolved(base.numpy(), accumulator_of(trained(2), "w", live.numel()))))


OUT_OF_MEMORY = """
import resource, torch
from esprobe.engines.slices import WeightSlice
from esprobe.engines.weights import PristineWeights
from esprobe.errors import PerturbationError
from tests.engines.contract import trained

live = torch.empty(2**28, dtype=torch.float16)  # half a GiB of addresses, no page of which is used
weights = PristineWeights([WeightSlice("a", live.numel(), 0, live)], [live])
with open("/proc/self/statm") as file:
    held = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**28, resource.RLIM_INFINITY))
try:
    weights.evolve(trained(1))
except PerturbationError as err:
    print("refused:", err)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_an_accumulator_for_which_there_is_no_memory() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    command = [sys.executable, "-c", OUT_OF_MEMORY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("refused: ") and "1.00 GiB" in done.stdout and "--dtype" in done.stdout
