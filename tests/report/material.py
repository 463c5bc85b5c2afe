"""Conditions, sessions and results from small outcomes, by way of the store's own frozen values."""

from dataclasses import replace
from typing import Any

import numpy as np

from esprobe.analysis.condition import condition_result
from esprobe.records import Correctness, Extent, SessionRecord, StoredCondition, Totals
from esprobe.results.results import ConditionResult
from esprobe.spec import Condition

HOSTILE = "evil|model\n# <script>alert(1)</script> [x](http://y) \x1b[31m www.z.org @all `c` \u202e_*"

BASE = Condition(
    task="countdown",
    data_digest="d" * 64,
    prompt="chat",
    prompt_digest="e" * 64,
    model="Qwen/Qwen2.5-0.5B-Instruct",
    model_fingerprint="f" * 64,
    dtype="float16",
    engine="vllm",
    max_tokens=1024,
)


def condition(**changes: Any) -> Condition:
    if "temperature" in changes:
        changes = {"top_p": 1.0, "top_k": -1} | changes
    if "sigma" in changes:
        changes = {"noise": "iid"} | changes
    return replace(BASE, **changes)


def correctness(correct: Any, stored: Any = None) -> Correctness:
    correct = np.asarray(correct, dtype=bool)
    stored = np.ones_like(correct) if stored is None else stored
    problems, seeds = correct.shape
    return Correctness(
        np.arange(200, 200 + problems), ("3 numbers",) * problems, np.arange(42, 42 + seeds), correct & stored, stored
    )


def result(number: int, given: Condition, correct: Any, stored: Any = None, ks: Any = None) -> ConditionResult:
    verdicts = correctness(correct, stored)
    rollouts = int(verdicts.stored.sum())
    problems, samples = verdicts.correct.shape
    totals = Totals(rollouts, int(verdicts.correct.sum()), 300 * rollouts, rollouts // 4)
    extent = Extent(200, 200 + problems, 42, samples, problems)
    missing = problems * samples - rollouts
    return condition_result(StoredCondition(number, given), verdicts, totals, extent=extent, missing=missing, ks=ks)


def session(number: int, **changes: Any) -> SessionRecord:
    made = SessionRecord(
        id=number,
        command="sample-temp",
        scorer="es-paper/1",
        started_utc="2026-03-01T10:00:00Z",
        ended_utc="2026-03-01T11:00:00Z",
        outcome="done",
        host="node7",
        pid=4242,
        rollouts=1000,
        tokens=300_000,
        engine={"fingerprint": "f" * 64, "dtype": "float16"},
        versions={"esprobe": "0.1.0", "vllm": "0.32.0"},
        hardware={"gpu": "NVIDIA H100", "count": 1},
    )
    return made._replace(**changes)
