"""Snapshots of training are a cache: they save time, and no state of theirs ever changes a weight."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra 'hf' is not installed")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from esprobe.engines.base import SNAPSHOT_S  # noqa: E402 - needs torch
from esprobe.engines.slices import WeightSlice  # noqa: E402
from esprobe.engines.snapshots import newest_snapshot, write_snapshot  # noqa: E402
from esprobe.engines.state import state_digest  # noqa: E402
from esprobe.engines.weights import PristineWeights  # noqa: E402
from esprobe.trajectory import Trajectory  # noqa: E402
from tests.engines.contract import trained  # noqa: E402

SIZES = {"a": 3001, "b": 40}


def model() -> PristineWeights:
    generator = torch.Generator().manual_seed(0)
    return PristineWeights(
        [WeightSlice(name, size, 0, torch.randn(size, generator=generator)) for name, size in SIZES.items()]
    )


def state(weights: PristineWeights, trajectory: Trajectory, folder: Path | None = None) -> str:
    return state_digest((piece.name, sums) for piece, sums in weights.evolve(trajectory, folder))


def save(folder: Path, trajectory: Trajectory) -> Path:
    """A snapshot as an engine writes it."""
    weights = model()
    digest = state(weights, trajectory)
    parts = {piece.name: weights._accumulator.part(i) for i, piece in enumerate(weights._weights)}
    write_snapshot(folder, trajectory, digest, parts)  # type: ignore[arg-type]
    return folder / f"{trajectory.digest}.safetensors"


def held_by(folder: Path, trajectory: Trajectory, held: int = 0) -> int | None:
    found = newest_snapshot(folder, trajectory, held, SIZES)
    return None if found is None else found.iterations


def test_the_newest_that_a_trajectory_goes_through_is_found(tmp_path: Path) -> None:
    assert held_by(tmp_path / "nothing", trained(5)) is None
    save(tmp_path, trained(2))
    save(tmp_path, trained(3))
    save(tmp_path, trained(4, run=1))
    assert held_by(tmp_path, trained(5)) == 3
    assert held_by(tmp_path, trained(2)) == 2
    assert held_by(tmp_path, trained(5), held=3) is None
    assert held_by(tmp_path, trained(1)) is None
    assert held_by(tmp_path, trained(5, run=1)) == 4


def test_its_numbers_are_used(tmp_path: Path) -> None:
    """A file with other numbers, and a digest that names them, shows that it is read."""
    path = save(tmp_path, trained(3))
    right = state(model(), trained(4))
    assert state(model(), trained(4), tmp_path) == right
    forge(path, {name: tensor + 1 for name, tensor in load_file(path).items()})
    assert state(model(), trained(4), tmp_path) != right


def forge(path: Path, tensors: dict[str, "torch.Tensor"], **changes: object) -> None:
    """Write a file again with other tensors, and the state's digest that is theirs."""
    from esprobe.engines.state import sums_of

    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["esprobe"])
    pieces = [WeightSlice(name, tensor.numel(), 0, tensor.float()) for name, tensor in tensors.items()]
    told["state"] = state_digest((piece.name, sums_of(piece.live, piece)) for piece in pieces)
    told["trained"] |= changes
    save_file(tensors, path, {"esprobe": json.dumps(told)})


def one_bit(path: Path) -> None:
    blob = bytearray(path.read_bytes())
    blob[-5] ^= 1
    path.write_bytes(blob)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "no safetensors": lambda path: path.write_bytes(b"x" * 5000),
    "one bit": one_bit,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "without metadata": lambda path: save_file(load_file(path), path),
    "another run's": lambda path: forge(path, load_file(path), recipe="other"),
    "another scope's": lambda path: forge(path, load_file(path), scope="a"),
    "another scheme's": lambda path: forge(path, load_file(path), noise="tied"),
    "a tensor too few": lambda path: forge(path, {"a": load_file(path)["a"]}),
    "a tensor too short": lambda path: forge(path, load_file(path) | {"b": torch.zeros(39)}),
    "float16": lambda path: forge(path, {k: t.half() for k, t in load_file(path).items()}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_file_that_is_not_what_it_should_be_is_passed_over(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, trained(2))
    damage(save(tmp_path, trained(3)))
    with caplog.at_level(logging.WARNING):
        assert held_by(tmp_path, trained(4)) == 2
    assert f"{trained(3).digest}.safetensors is passed over" in caplog.text
    assert state(model(), trained(4), tmp_path) == state(model(), trained(4))


def test_the_newest_two_of_a_run_are_kept(tmp_path: Path) -> None:
    other = save(tmp_path, trained(1, run=1))
    (tmp_path / "mine.safetensors").write_bytes(b"not esprobe's")
    paths = [save(tmp_path, trained(iterations)) for iterations in (1, 2, 3, 2, 4)]
    assert {path.name for path in tmp_path.iterdir()} == {
        *(path.name for path in (other, tmp_path / "mine.safetensors", paths[1], paths[4]))
    }


def test_whoever_may_read_other_new_files_may_read_snapshots(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    path = save(tmp_path, trained(1))
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


class TestWriting:
    """An engine writes one when it has worked long enough since the last."""

    @pytest.fixture
    def weights(self) -> PristineWeights:
        return model()

    def test_what_was_written_is_taken_up(self, weights: PristineWeights, tmp_path: Path) -> None:
        weights.evolve(trained(3), tmp_path / "new", write_after_s=0)
        assert held_by(tmp_path / "new", trained(5)) == 3
        assert state(model(), trained(5), tmp_path / "new") == state(model(), trained(5))

    def test_nothing_is_written_unasked(self, weights: PristineWeights, tmp_path: Path) -> None:
        weights.evolve(trained(3), tmp_path / "new")
        assert not (tmp_path / "new").exists()

    def test_a_short_piece_of_work_is_not_worth_it(self, tmp_path: Path) -> None:
        model().evolve(trained(3), tmp_path / "new", write_after_s=SNAPSHOT_S)
        assert not (tmp_path / "new").exists()

    def test_a_folder_that_cannot_be_written_is_told_once(
        self, weights: PristineWeights, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("no folder")
        for iterations in (1, 2, 3):
            assert state_digest(
                (p.name, s) for p, s in weights.evolve(trained(iterations), tmp_path / "file", write_after_s=0)
            )
        assert caplog.text.count("no snapshots of the training") == 1

    def test_a_shard_writes_nothing(self, tmp_path: Path) -> None:
        shard = PristineWeights([WeightSlice("a", 100, 0, torch.zeros(50))])
        shard.evolve(trained(2), tmp_path, write_after_s=0)
        assert os.listdir(tmp_path) == []

    def test_a_shard_reads_its_part(self, tmp_path: Path) -> None:
        save(tmp_path, trained(3))
        live = torch.zeros(10 * 100)
        shard = PristineWeights([WeightSlice("a", 3001, 7, live, 10, 300), WeightSlice("b", 40, 0, torch.zeros(40))])
        shard.evolve(trained(3))
        expected = live.clone()
        shard.evolve(trained(0))
        assert newest_snapshot(tmp_path, trained(3), 0, SIZES) is not None
        shard.evolve(trained(3), tmp_path)
        assert torch.equal(live, expected)
        assert bool(expected.any())
