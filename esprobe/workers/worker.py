"""A worker: one engine, the task it draws for, and a fingerprint of both.

The same class runs in the command's own process, in processes beside it, and as a Ray actor.
"""

import gc
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from esprobe import engines
from esprobe.doctor import check_numbers, quick_check
from esprobe.engines import Engine, EngineOptions, Lineage, ModelIdentity, StopCheck
from esprobe.engines.base import SNAPSHOT_S
from esprobe.errors import EngineError
from esprobe.spec import Condition, Prompt
from esprobe.tasks import DataSet, Task, load_task
from esprobe.tasks.prompts_digest import prompts_digest
from esprobe.workers import provenance
from esprobe.workers.work import Delivery, Work, requests_of


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker loads, as the command specified it; ``dtype`` is resolved.

    ``snapshots`` is the folder for snapshots of weights in training; None for a model that is not being trained.
    ``lineage`` is how ``model`` was trained before; None for a checkpoint.
    """

    model: str
    dtype: str
    engine: str
    options: EngineOptions
    task: str
    data: str | None
    prompt: str
    snapshots: str | None = None
    lineage: Lineage | None = None


@dataclass(frozen=True)
class WorkerFingerprint:
    """What determines a worker's completions and can differ between two processes with the same spec.

    Attributes:
        versions: of the packages that determine results.
        weights: fingerprint of the model's files that the worker loaded.
        dtype: the dtype the weights are served in.
        data: digest of the data set's rows.
        prompts: digest over the prompts of all problems.
    """

    versions: Mapping[str, str]
    weights: str
    dtype: str
    data: str
    prompts: str

    @classmethod
    def expected(cls, condition: Condition) -> Self:
        """The fingerprint of this process, for a condition that it samples."""
        return cls(
            versions=provenance.deciding_versions(),
            weights=condition.model_fingerprint,
            dtype=condition.dtype,
            data=condition.data_digest,
            prompts=condition.prompt_digest,
        )

    def differences(self, expected: "WorkerFingerprint") -> list[str]:
        """What differs from the expected fingerprint, one phrase each; empty if nothing does."""
        found = [
            f"{package} is {self.versions.get(package, 'missing')} there and {expected.versions.get(package)} here"
            for package in sorted({*self.versions, *expected.versions})
            if self.versions.get(package) != expected.versions.get(package)
        ]
        for what, theirs, ours in (
            ("the weights behind the model's name", self.weights, expected.weights),
            ("the dtype", self.dtype, expected.dtype),
            ("the data", self.data, expected.data),
            ("the prompts", self.prompts, expected.prompts),
        ):
            if theirs != ours:
                found.append(f"{what} differ: {theirs[:12]} there and {ours[:12]} here")
        return found


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its engine.

    Attributes:
        fingerprint: of what it loaded.
        place: its process and machine, for people.
        batch_size: the engine's.
        engine: the engine's provenance.
        hardware: the device it computes on (``provenance.device``).
        checks: the results of checking a model that will be perturbed, a line each.
    """

    fingerprint: WorkerFingerprint
    place: str
    batch_size: int | None
    engine: Mapping[str, Any]
    hardware: Mapping[str, Any]
    checks: tuple[str, ...]

    @property
    def record(self) -> dict[str, Any]:
        """What a session's hardware record keeps of this worker, JSON-serialisable."""
        return {"place": self.place, **self.hardware, "engine": dict(self.engine)}


class Worker:
    """Turns work into deliveries."""

    def __init__(
        self,
        engine: Engine,
        identity: ModelIdentity,
        task: Task,
        data: DataSet,
        style: str,
        prompts: str,
        checks: Sequence[str] = (),
        snapshots: str | None = None,
    ) -> None:
        """``engine`` has loaded ``identity``.

        Args:
            engine: what answers.
            identity: the model that it has loaded.
            task: makes the prompts.
            data: the problems.
            style: the prompt style.
            prompts: digest over the prompts of all problems (``prompts_digest``).
            checks: the results of checking the model, a line each.
            snapshots: the folder for snapshots of weights in training.
        """
        self._engine = engine
        self._snapshots = None if snapshots is None else Path(snapshots)
        self._prompts = _Prompts(task, data, style)
        self.ready = Ready(
            fingerprint=WorkerFingerprint(
                versions=provenance.deciding_versions(),
                weights=identity.fingerprint,
                dtype=identity.dtype,
                data=data.digest,
                prompts=prompts,
            ),
            place=this_place(),
            batch_size=engine.batch_size,
            engine=_provenance(engine, identity),
            hardware=provenance.device(),
            checks=tuple(checks),
        )

    @classmethod
    def load(cls, spec: WorkerSpec, task: Task, data: DataSet, identity: ModelIdentity, prompts: str) -> Self:
        """Load the engine, and check its numbers and, if it will be perturbed, its weights.

        ``prompts`` is the digest over all prompts: computing it takes a second where there are many.

        Raises:
            EsprobeError: the model or engine cannot be used.
        """
        engine = engines.load(spec.engine, identity, spec.options)
        check_numbers(engine)
        checks = quick_check(engine) if spec.options.perturbs else []
        return cls(engine, identity, task, data, spec.prompt, prompts, checks, spec.snapshots)

    @classmethod
    def from_spec(cls, spec: WorkerSpec) -> Self:
        """A worker that loads task and model itself, in a process of its own.

        Raises:
            EsprobeError: the model, engine or data cannot be used.
        """
        task = load_task(spec.task)
        data = task.data_set(spec.data)
        identity = engines.identify(spec.engine, spec.model, spec.dtype, spec.lineage)
        worker = cls.load(spec, task, data, identity, prompts_digest(task, data, spec.prompt))
        gc.freeze()  # as the sampling loop does in its own process
        return worker

    def draw(self, work: Work, stop: StopCheck) -> Iterator[Delivery]:
        """Draw ``work`` and yield completions as they finish; ends early once ``stop()`` is true.

        Raises:
            EngineError: the engine failed, or left requests unanswered.
            ModelError: the model cannot answer such requests, or cannot be perturbed so.
        """
        clock = _Clock()
        perturbation = work.perturbation
        state, norms = None, {}
        if work.trajectory is not None:
            write_after_s = SNAPSHOT_S if work.keeps_state else None
            state = self._engine.evolve(work.trajectory, self._snapshots, write_after_s=write_after_s)
            norms = dict(self._engine.update_norms()) if work.keeps_state else {}
        with self._engine.perturbed(perturbation) if perturbation else nullcontext():
            yield Delivery([], switch_s=clock.lap(), state=state, norms=norms)
            for batch in requests_of(work, self._prompts):
                unanswered = len(batch)
                clock.lap()
                for completions in self._engine.generate(batch, stop):
                    unanswered -= len(completions)
                    yield Delivery(completions, generate_s=clock.lap())
                    clock.lap()  # what our caller did meanwhile is not the engine's time
                if stop():
                    break
                if unanswered:
                    raise EngineError(
                        f"the engine left {unanswered:,} of {len(batch):,} requests unanswered, so this run would be "
                        f"incomplete; what it answered is stored. Run the same command again to draw the rest"
                    )
            clock.lap()
        yield Delivery([], switch_s=clock.lap())


def this_place(pid: int | None = None) -> str:
    """A process of this machine (this one by default) and the machine's name, for people."""
    return f"process {pid or os.getpid()} on {socket.gethostname()}"


def _provenance(engine: Engine, identity: ModelIdentity) -> Mapping[str, Any]:
    """What the engine says of itself; of a trained model also which it is, as the engine knows the base alone."""
    said = engine.provenance()
    if identity.lineage is None:
        return said
    trained = {"model": identity.model, "fingerprint": identity.fingerprint, "base": identity.lineage.base}
    return {**said, **trained, "updates": len(identity.lineage.trajectory.updates)}


class _Prompts(dict[int, Prompt]):
    """The prompts that were asked for, by problem index: a data set may have many more."""

    def __init__(self, task: Task, data: DataSet, style: str) -> None:
        super().__init__()
        self._task, self._problems, self._style = task, data.problems, style

    def __missing__(self, index: int) -> Prompt:
        prompt = self[index] = self._task.prompt(self._problems[index], self._style)
        return prompt


class _Clock:
    """Seconds since the last lap."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def lap(self) -> float:
        before, self._at = self._at, time.monotonic()
        return self._at - before
