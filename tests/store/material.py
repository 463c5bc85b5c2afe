"""Conditions, problems and rollouts made by hand, for the tests of the store."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from esprobe.records import Extent
from esprobe.spec import Completion, Condition, Problem, Prompt, Request, Score
from esprobe.store import NewRollout, RolloutWriter
from tests.conftest import REPOSITORY

GREEDY = Condition(
    task="countdown",
    data_digest="d" * 64,
    prompt="chat",
    prompt_digest="e" * 64,
    model="a-model",
    model_fingerprint="f" * 64,
    dtype="float32",
    engine="scripted",
    max_tokens=16,
)
WARM = replace(GREEDY, temperature=0.8, top_p=1.0, top_k=-1)
NOISY = replace(GREEDY, sigma=0.005, noise="iid")


def problems(*indices: int) -> Iterator[tuple[Problem, Prompt]]:
    for index in indices:
        prompt = Prompt((("user", f"question {index}"),), "Well,")
        yield Problem(index, {"numbers": [1, 2, index]}, f"{index % 2 + 3} numbers"), prompt


def rollout(
    condition_id: int,
    problem_id: int,
    seed: int,
    text: str = "a text",
    *,
    correct: bool = False,
    reward: float = 0.1,
    tokens: int = 3,
) -> NewRollout:
    request = Request(problem_id, problem_id, seed, Prompt((), ""), max_tokens=16)
    answer, failure = ("1+2", None) if correct else (None, "no answer")
    return NewRollout(condition_id, Completion(request, text, tokens, "stop"), Score(reward, correct, answer, failure))


def begin(writer: RolloutWriter, *condition_ids: int) -> int:
    """A session that was asked for four seeds of ten problems."""
    extents = dict.fromkeys(condition_ids, Extent(0, 10, 42, 4, 10))
    return writer.begin_session("esprobe sample-temp", "es-paper/1", extents, {"engine": "scripted"}, {}, {})


def fill(path: Path, rollouts: int = 40, text: str = "a text") -> Path:
    """A closed database with one condition, ten problems and as many rollouts as asked for."""
    with RolloutWriter.open(path) as writer:
        condition = writer.register_condition(WARM)
        ids = list(writer.register_problems("countdown", "t", problems(*range(10))).values())
        session = begin(writer, condition)
        keys = [(ids[i % 10], 42 + i // 10) for i in range(rollouts)]
        writer.add(session, [rollout(condition, *key, text, correct=key[1] == 42) for key in keys], {})
        writer.end_session(session, "done")
    return path


@contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process of our own; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def hear(process: subprocess.Popen[str]) -> str:
    """Wait for the next line that a child prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the child ended before it had spoken"
    return line.strip()


def shell(path: Path, *statements: str) -> None:
    """Change a database behind esprobe's back."""
    connection = sqlite3.connect(path)
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()
