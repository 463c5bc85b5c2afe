"""Writes the frozen database of the newest schema: ``python tests/data/make_frozen.py schema-m001.db``.

Run it once per schema, when that schema is released; files of older schemas stay as they are.
"""

import sys
from dataclasses import replace
from pathlib import Path

from esprobe.es import ALGORITHM, population
from esprobe.records import Extent
from esprobe.records.given_up import GivenUp
from esprobe.records.guessing import Guess
from esprobe.records.training import Iteration, Member
from esprobe.spec import Completion, Condition, Problem, Prompt, Request, Score
from esprobe.store import NewRollout, RolloutWriter
from esprobe.store.given_up_writer import give_up
from esprobe.store.guessing_writer import record_guess
from esprobe.store.training_writer import record_iteration, register_run
from esprobe.store.writer import EngineTime
from esprobe.trajectory import Trajectory, Update

WARM = Condition(
    task="countdown",
    data_digest="d" * 64,
    prompt="chat",
    prompt_digest="e" * 64,
    model="Qwen/Qwen2.5-0.5B-Instruct",
    model_fingerprint="f" * 64,
    dtype="float16",
    engine="transformers",
    max_tokens=1024,
    temperature=0.8,
    top_p=1.0,
    top_k=-1,
)
NOISY = replace(WARM, temperature=None, top_p=None, top_k=None, sigma=0.005, noise="iid")

RECIPE = {
    "algorithm": ALGORITHM,
    "base": {
        key: value
        for key, value in replace(WARM, temperature=None, top_p=None, top_k=None).identity.items()
        if key != "kind"
    },
    "scorer": "es-paper/1",
    "problems": [200, 203],
    "problems_per_iteration": 3,
    "sigma": 0.004,
    "alpha": 0.25,
    "population": 2,
    "shaping": "zscore",
    "antithetic": False,
    "noise": "iid",
    "scope": None,
    "seed": 42,
}
"""Everything that a recipe has; its one iteration has no rollouts here."""


def prompt(index: int) -> Prompt:
    return Prompt((("system", "You think."), ("user", f"Reach {index} with [1, 2, {index}].")), "Let me <think>")


def rollout(condition_id: int, problem: tuple[int, int], seed: int) -> NewRollout:
    id_, index = problem
    correct = (index + seed + condition_id) % 3 == 0
    text = f"problem {index}, seed {seed} \u2713\n<answer> {index} * (2 - 1) </answer>"
    score = Score(1.1, True, f"{index} * (2 - 1)", None) if correct else Score(0.1, False, None, "wrong value")
    request = Request(id_, index, seed, prompt(index), max_tokens=1024)
    return NewRollout(condition_id, Completion(request, text, seed, "stop" if correct else "length"), score)


def make(path: Path) -> None:
    with RolloutWriter.open(path) as writer:
        conditions = [writer.register_condition(WARM), writer.register_condition(NOISY)]
        problems = [
            (Problem(i, {"numbers": [1, 2, i], "target": str(i)}, "3 numbers"), prompt(i)) for i in (200, 201, 202)
        ]
        ids = writer.register_problems("countdown", "a-task-digest", problems)
        session = writer.begin_session(
            "esprobe sample-temp -t 0.8",
            "es-paper/1",
            dict.fromkeys(conditions, Extent(200, 203, 42, 4, 3)),
            {"engine": "transformers", "device": "cpu"},
            {"esprobe": "0.1.0"},
            {"cpus": 2},
            scorer_digest="a-scorer-digest",
            task_file="/data/my_task.py:load",
        )
        chances = {200: 0.25, 201: None, 202: 0.125}
        first = {202: 1.0}
        record_guess(writer, Guess("countdown", WARM.data_digest, "random guesses", "drawn at random", chances, first))
        for condition in conditions:
            drawn = [rollout(condition, (ids[i], i), seed) for seed in range(42, 46) for i in sorted(ids)]
            writer.add(session, drawn, {condition: EngineTime(generate_s=1.5, switch_s=0.25)})
        writer.end_session(session, "done")
        give_up(writer, conditions[1], GivenUp(200, 203, frozenset(range(46, 50)), 48, 47))
        run = register_run(writer, WARM.model, RECIPE)
        first, second = (draw.seed for draw in population(42, 0, 2, antithetic=False))
        members = (Member(first, 1, 0.25, 0.125), Member(second, 1, 0.125, -0.125))
        after = Trajectory(run.digest).extended(Update((first, second), (0.125, -0.125)))
        record_iteration(writer, run.id, 0, Iteration(members, after.digest, "a-state-digest", {"mlp": (0.5, 12.0)}))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
