"""The engine contract: text in, text out, and weight perturbation.

An engine does not know tasks, scores or databases. Implementations do not repeat this contract; one test class checks
all of them against it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from esprobe import defaults
from esprobe.errors import UsageError
from esprobe.spec import Completion, Perturbation, Request
from esprobe.trajectory import Trajectory

StopCheck = Callable[[], bool]


SNAPSHOT_S = 5.0
"""Seconds of adding updates that are worth a snapshot: a resumed run would take that much longer without it."""


@dataclass(frozen=True)
class Lineage:
    """How a trained model came from another one.

    Attributes:
        name: how people name the trained model.
        base: name of the model that was trained.
        base_fingerprint: its fingerprint.
        dtype: the dtype that it was trained in.
        trajectory: its training.
        state: the digest of the accumulator that the file has for it; None if it has none.
        snapshots: folder of snapshots of the training, which may not exist.
        below: how the base was trained itself; None of a checkpoint.
    """

    name: str
    base: str
    base_fingerprint: str
    dtype: str
    trajectory: Trajectory
    state: str | None
    snapshots: str
    below: "Lineage | None" = None

    @property
    def root(self) -> str:
        """Name of the checkpoint that it all began with."""
        return self.base if self.below is None else self.below.root


@dataclass(frozen=True)
class ModelIdentity:
    """What decides an engine's outputs and is known before anything is loaded.

    Attributes:
        model: the name that was asked for.
        fingerprint: digest of the weights, tokenizer and configuration behind that name.
        dtype: the dtype that the weights are served in, "auto" resolved.
        lineage: how it was trained, if its weights are not those of a checkpoint.
    """

    model: str
    fingerprint: str
    dtype: str
    lineage: Lineage | None = None

    @property
    def checkpoint(self) -> str:
        """Name of the checkpoint that is loaded: the one that a trained model began with."""
        return self.model if self.lineage is None else self.lineage.root


@dataclass(frozen=True)
class EngineOptions:
    """How an engine runs; may change between the sessions of one condition. Each engine ignores what it has no use for.

    Attributes:
        perturbs: whether weights will be changed, so that nothing may be cached across requests.
        trains: whether weights will be trained, which needs an accumulator beside the copy that ``perturbs`` needs.
        batch_size: prompts per batch, for engines that do not schedule requests themselves.
        max_num_seqs: sequences in vLLM's running batch.
        gpu_memory_utilization: share of the device's memory that vLLM takes.
        enforce_eager: run vLLM without compilation and CUDA graphs.
        tensor_parallel_size: devices of one machine that share one model in vLLM.
        batch_invariant: ask vLLM for kernels whose results do not depend on the batch.
    """

    perturbs: bool = False
    trains: bool = False
    batch_size: int = defaults.BATCH_SIZE
    max_num_seqs: int = defaults.MAX_NUM_SEQS
    gpu_memory_utilization: float = defaults.GPU_MEMORY_UTILIZATION
    enforce_eager: bool = False
    tensor_parallel_size: int = defaults.TENSOR_PARALLEL_SIZE
    batch_invariant: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no engine could run with.

        Raises:
            UsageError: names the option and its value.
        """
        for option, value in (
            ("--batch-size", self.batch_size),
            ("--max-num-seqs", self.max_num_seqs),
            ("--tensor-parallel-size", self.tensor_parallel_size),
        ):
            if value < 1:
                raise UsageError(f"{option} must be at least 1, got {value}")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise UsageError(
                f"--gpu-memory-utilization must be a share of the device's memory in (0, 1], got "
                f"{self.gpu_memory_utilization:g}"
            )


class Engine(Protocol):
    """Draws completions from one loaded model. Not thread-safe; used by one thread at a time."""

    @classmethod
    def identify(cls, model: str, dtype: str) -> ModelIdentity:
        """Find a model and resolve its dtype without loading it.

        Raises:
            ModelError: the model cannot be found or is of a form this engine cannot use.
            EngineError: a package that the engine needs is not installed.
        """

    @classmethod
    def load(cls, identity: ModelIdentity, options: EngineOptions) -> Self:
        """Load what ``identify`` found.

        Raises:
            ModelError: the model cannot be loaded.
        """

    @property
    def batch_size(self) -> int | None:
        """How many requests one ``generate`` call may carry; None: any number, the engine keeps its own window.

        An engine whose outputs may depend on what is computed together has a batch size. The sampling loop then
        cuts the plan into fixed batches and stores each as a whole, so that a killed and resumed run computes the
        same batches as an uninterrupted one.
        """

    def generate(self, requests: Sequence[Request], stop: StopCheck) -> Iterator[list[Completion]]:
        """Complete requests that differ in prompt and seeds only (one condition).

        Yields lists of completions as they finish, in any order, every request answered once. The completions of
        one list are stored together or not at all; a list may be empty. The same request gives the same text in
        the same batch. Once ``stop()`` is true, what is unfinished is abandoned and the iterator ends.

        Raises:
            EngineError: the engine failed; nothing more can be generated.
            ModelError: the model cannot answer such requests at all (no chat template, prompts too long).
        """

    def perturbed(self, perturbation: Perturbation) -> AbstractContextManager[int]:
        """Weights as ``perturbation`` names them inside, bit for bit those of before after, also if the body raises.

        Enters with the number of scalars touched: all those in scope, each once.

        Raises:
            PerturbationError: the noise cannot reach all the weights it names.
        """

    def evolve(
        self, trajectory: Trajectory, snapshots: Path | None = None, *, write_after_s: float | None = None
    ) -> str:
        """Make the model after a trajectory's updates the base from now on; not inside ``perturbed``.

        With b the loaded weights as float32 and D the accumulator of the updates, ``perturbed`` adds noise to b + D
        in float32, and outside of it the weights are round_dtype(b + D). The same engine may be given a longer, a
        shorter or another trajectory later; one without updates is the loaded model, bit for bit.

        Args:
            trajectory: what to add to the loaded weights.
            snapshots: a folder of accumulators to start from instead of from nothing. It is a cache: the result never
                depends on it, and files that are damaged or of other runs are passed over with a warning.
            write_after_s: seconds of adding updates after which a snapshot is written there (``SNAPSHOT_S``); None to
                write none. A folder that cannot be written is a warning, once.

        Returns:
            A digest of the accumulator, equal on all engines and devices.

        Raises:
            PerturbationError: the updates cannot reach all the weights they name, or there is no memory.
        """

    def update_norms(self) -> Mapping[str, tuple[float, float]]:
        """By class of tensors, the Euclidean norms of the accumulator D and of the loaded weights b that it trains.

        Empty without updates, and of an engine without weights. The classes are those of
        ``esprobe.engines.tensor_groups``; sums are in float64, and their last digits may differ between devices.
        """

    def settle(self) -> None:
        """Make the evolved weights, rounded to the served dtype, the loaded ones, and free the accumulator's memory.

        From now on it is as if a checkpoint of them had been loaded: noise is added to round_dtype(b + D). Needs no
        ``perturbs``.
        """

    def provenance(self) -> Mapping[str, Any]:
        """What was really loaded and used, JSON-serialisable: device, dtype, sizes, settings."""
