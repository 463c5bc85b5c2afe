"""What a database holds, as frozen values: the store hands them out, everything above reads them.

Named tuples where no field has a tuple's own name: every command imports them all, and to define a frozen dataclass
takes eight times as long.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from esprobe.spec import Condition, Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from esprobe.records.given_up import GivenUp


GIVEN = "given"
"""The scorer's name where rollouts were made elsewhere and brought their verdicts."""

FOREIGN = "imported"
"""The task's name where rollouts were imported without one, so that only their file knows the problems."""


class StoredCondition(NamedTuple):
    """A condition and the id it has in this file."""

    id: int
    condition: Condition


class Model(NamedTuple):
    """A model of a database.

    Attributes:
        fingerprint: SHA-256 (hex) over weights, tokenizer and configuration.
        name: how tables call it.
        path: the ``--model`` that it was first sampled as.
    """

    fingerprint: str
    name: str
    path: str


@dataclass(frozen=True)
class StoredProblem:
    """A problem and the id it has in this file."""

    id: int
    index: int
    group: str
    inputs: Mapping[str, Any]


class Extent(NamedTuple):
    """How much of a condition was asked for: the rectangle of problems x seeds.

    Attributes:
        first_index: first problem index planned.
        stop_index: one past the last problem index planned.
        first_seed: first seed planned.
        samples: seeds planned per problem.
        problems: problems planned (a slice may run past the data's end).
    """

    first_index: int
    stop_index: int
    first_seed: int
    samples: int
    problems: int


@dataclass(frozen=True)
class Totals:
    """Sums over a condition's stored rollouts.

    ``checksum`` names which rollouts have which verdicts; None for a file that records none. It is no part of equality:
    two conditions may have the same sums.
    """

    rollouts: int
    correct: int
    tokens: int
    cut_off: int
    checksum: int | None = field(default=None, compare=False)


def computing(versions: Mapping[str, str], engine: str, revision: int) -> dict[str, str]:
    """What of a session moves the last bits of logits: the libraries that compute them, and how they are asked.

    Args:
        versions: of packages.
        engine: name of the engine.
        revision: of what esprobe has it compute.
    """
    others = ("esprobe", "python", "sqlite")
    found = {package: version for package, version in versions.items() if package not in others}
    return found | {f"esprobe's {engine} engine": str(revision)}


def several_versions(drawn_with: Iterable[Mapping[str, str]]) -> list[str]:
    """Packages, each with its versions, that differ between sessions; empty if none does."""
    found: dict[str, dict[str, None]] = {}
    for versions in drawn_with:
        for package, version in versions.items():
            found.setdefault(package, {})[version] = None
    return [f"{package} {' and '.join(versions)}" for package, versions in found.items() if len(versions) > 1]


def gpu_kind(worker: Mapping[str, Any]) -> str:
    """The kind of GPU in a worker's hardware record; "CPU" for a worker without one."""
    return str(worker.get("device")) if worker.get("gpus") else "CPU"


def several_devices(workers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Kinds of devices that workers computed on, if there are several: they round differently."""
    found = list(dict.fromkeys(gpu_kind(worker) for worker in workers))
    return found if len(found) > 1 else []


class SessionRecord(NamedTuple):
    """One invocation of a sampling command, as it was stored.

    ``ended_utc`` is None for a session that was killed. ``engine`` is what the engine said it really loaded and
    used; ``versions`` and ``hardware`` are what it ran on; ``shard`` is the share of the plan that it was asked for,
    such as "3/16", None for all of it; ``rescored`` says how another scorer replaced its verdicts, None if none did.
    ``scorer_digest`` is that of the scorer's source, None of a built-in one, which its name identifies; ``task_file``
    is the ``FILE.py:NAME`` that the task was loaded from, None of an installed one.
    """

    id: int
    command: str
    scorer: str
    started_utc: str
    ended_utc: str | None
    outcome: str | None
    host: str
    pid: int
    rollouts: int
    tokens: int
    engine: Mapping[str, Any]
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    shard: str | None = None
    rescored: str | None = None
    scorer_digest: str | None = None
    task_file: str | None = None

    @property
    def has_given_verdicts(self) -> bool:
        """Whether no scorer gave its verdicts: they came with the rollouts."""
        return self.scorer == GIVEN

    @property
    def drawn_with(self) -> dict[str, str]:
        """Versions of what computed its rollouts; nothing if it has none, or they came with an import."""
        if self.has_given_verdicts or not self.rollouts:
            return {}
        return computing(self.versions, str(self.engine.get("engine")), int(self.engine.get("revision", 1)))

    @property
    def workers(self) -> list[Mapping[str, Any]]:
        """Hardware records of the workers that drew its rollouts; none if it has none, or is older than they are."""
        return list(self.hardware.get("workers", ())) if self.drawn_with else []


class ConditionStatus(NamedTuple):
    """How far a condition is.

    Attributes:
        stored: the condition and its id.
        planned: rollouts that any session asked for, less those given up; 0 without a plan (imported rollouts).
        totals: sums over what is stored.
        planned_problems: problems that any session asked for.
        incomplete_problems: those of them that lack a planned rollout.
        incomplete_seeds: (first, last) of every run of seeds of which each lacks a planned rollout, ascending.
        session_id: the last session that drew some of it; None if none did.
        rate: rollouts of this condition per second of that session; None if it was too short to tell.
        given_up: seeds that will not be drawn, with the reason.
    """

    stored: StoredCondition
    planned: int
    totals: Totals
    planned_problems: int
    incomplete_problems: int
    incomplete_seeds: tuple[tuple[int, int], ...]
    session_id: int | None
    rate: float | None
    given_up: "tuple[GivenUp, ...]" = ()

    @property
    def missing(self) -> int:
        """Planned rollouts that are not stored."""
        return max(self.planned - self.totals.rollouts, 0)

    @property
    def eta_s(self) -> float | None:
        """Seconds that the missing rollouts take at the last session's rate; None if that is not known."""
        if not self.missing:
            return 0.0
        return self.missing / self.rate if self.rate else None


class Correctness(NamedTuple):
    """Every stored verdict of one condition.

    Attributes:
        problems: (P,) int64, problem indices in ascending order; only problems with at least one rollout.
        groups: (P,) the problems' classes.
        seeds: (S,) int64, ascending.
        correct: (P, S) bool; False where nothing is stored.
        stored: (P, S) bool; which rollouts exist.
    """

    problems: "NDArray[np.int64]"
    groups: tuple[str, ...]
    seeds: "NDArray[np.int64]"
    correct: "NDArray[np.bool_]"
    stored: "NDArray[np.bool_]"


class StoredRollout(NamedTuple):
    """One stored rollout with its text."""

    problem: int
    seed: int
    completion: str
    reward: float
    correct: bool
    answer: str | None
    failure: str | None
    token_count: int
    finish_reason: str


class OutcomeCount(NamedTuple):
    """Equal rollouts and how many there are.

    Attributes:
        group: problem class.
        failure: the scorer's word; None if correct.
        finish_reason: "stop", "length" or "loop".
        bonus: reward beyond the answer's own.
        rollouts: how many.
    """

    group: str
    failure: str | None
    finish_reason: str
    bonus: float
    rollouts: int


class Spending(NamedTuple):
    """What the engine spent on a condition, by the sessions that recorded it.

    Attributes:
        rollouts: drawn in those sessions.
        generate_s: seconds of generating.
        switch_s: seconds of switching weights.
    """

    rollouts: int
    generate_s: float
    switch_s: float


class Answers(NamedTuple):
    """The canonical answers of one condition, problem by problem and seed by seed as in ``Correctness``.

    Attributes:
        codes: (P, S) int32 positions in ``texts``; -1 where there is no answer, or no rollout.
        texts: the distinct answers.
    """

    codes: "NDArray[np.int32]"
    texts: tuple[str, ...]


class PublishedPoint(NamedTuple):
    """A figure from elsewhere to compare with.

    Attributes:
        model: the model it is about.
        method: how that model was trained, or that it was not.
        estimate: the share of problems solved, 0..1, as read from a publication.
    """

    model: str
    method: str
    estimate: float


class Finding(NamedTuple):
    """Something about a data set that its user should know.

    Attributes:
        name: a few words for it, such as "no solution".
        problems: indices of the problems it holds for, ascending.
    """

    name: str
    problems: tuple[int, ...]


class Audit(NamedTuple):
    """What a task found in its own data set.

    Attributes:
        task: the task's name.
        data: where the rows came from, for people.
        data_digest: which rows they were.
        problems: first and stop index of what was audited.
        training: first and stop index of what a model may have been trained on.
        groups: class of each audited problem, in order.
        findings: in the order in which to show them; those that hold for no problem too.
        notes: how to read the findings: definitions, and what was not looked at.
    """

    task: str
    data: str
    data_digest: str
    problems: tuple[int, int]
    training: tuple[int, int]
    groups: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


class VerdictChanges(NamedTuple):
    """What another scorer would change, or has changed, in one condition.

    Attributes:
        condition: the condition.
        before: the scorers of the verdicts compared.
        scorer: the scorer they were compared with.
        rollouts: how many were compared.
        correct_before: how many of them were correct.
        correct_after: how many are.
        lost: right before, wrong after.
        gained: wrong before, right after.
        rewards: with another reward.
        answers: with another canonical answer.
        failures: wrong before and after, but for another reason.
        changed: with any of these.
    """

    condition: StoredCondition
    before: tuple[str, ...]
    scorer: str
    rollouts: int
    correct_before: int
    correct_after: int
    lost: int
    gained: int
    rewards: int
    answers: int
    failures: int
    changed: int


class ShownRollout(NamedTuple):
    """One stored rollout with all that a person needs to read it.

    Attributes:
        condition_id: its condition.
        session_id: the session that drew it.
        group: class of its problem.
        inputs: what the problem gives.
        prompt: what the model was given.
        rollout: its key, text and verdict.
    """

    condition_id: int
    session_id: int
    group: str
    inputs: Mapping[str, Any]
    prompt: Prompt
    rollout: StoredRollout
