"""Names in tables: short, telling, and taken back as they were printed."""

import itertools
from dataclasses import replace

import pytest

from esprobe.records.labels import LONGEST_NAME, distinct_labels, means_condition, short_names, shown_models
from esprobe.spec import Condition
from tests.report.material import BASE, condition

RUN = "checkpoints/2026-11-03_countdown-grpo-qwen2.5-0.5b-instruct-lr1e-6-kl0.001-rollout16"


def test_the_shortest_tail_that_tells_paths_apart() -> None:
    assert short_names(["Qwen/Qwen2.5-0.5B-Instruct"]) == {"Qwen/Qwen2.5-0.5B-Instruct": "Qwen2.5-0.5B-Instruct"}
    assert list(short_names(["a/final", "b/final", "c/other"]).values()) == ["a/final", "b/final", "other"]
    assert list(short_names(["org/model", "runs/org/model"]).values()) == ["org/model", "runs/org/model"]


def test_where_the_tail_is_long_the_part_of_the_path_that_differs() -> None:
    steps = [f"{RUN}/global_step_{step}/actor/huggingface" for step in (100, 250)]
    assert list(short_names(["Qwen/Qwen2.5-0.5B-Instruct", *steps]).values()) == [
        "Qwen2.5-0.5B-Instruct",
        "global_step_100",
        "global_step_250",
    ]


def test_long_names_lose_their_middle_and_stay_apart() -> None:
    paths = [f"{RUN}-seed{seed}" for seed in (1, 2)]
    names = list(short_names(paths).values())
    assert all(len(name) <= LONGEST_NAME for name in names) and len(set(names)) == 2
    alike = [f"{'a' * 30}{middle}{'b' * 30}" for middle in "12"]
    assert list(short_names(alike).values()) == alike


def test_a_given_name_comes_first() -> None:
    other = replace(BASE, model="runs/es", model_fingerprint="0" * 64)
    assert shown_models([BASE, other], {"0" * 64: "trained"})["0" * 64] == "trained"
    assert list(distinct_labels({1: BASE, 2: other}, {"0" * 64: "trained"}).values())[1] == "greedy, trained"


def test_no_model_is_called_as_another_one_was_named() -> None:
    step = replace(BASE, model="runs/a/step_1", model_fingerprint="1" * 64)
    named = replace(BASE, model="runs/b/final", model_fingerprint="2" * 64)
    assert shown_models([step, named], {"2" * 64: "step_1"}) == {"1" * 64: "a/step_1", "2" * 64: "step_1"}
    bare = replace(step, model="step_1")
    assert shown_models([bare, named], {"2" * 64: "step_1"}) == {"1" * 64: "1" * 8, "2" * 64: "step_1"}


def test_imports_keep_the_label_that_they_were_given() -> None:
    made = replace(BASE, source="monkeys, T=1", model="gpt", model_fingerprint="1" * 64, task="other")
    assert distinct_labels({1: BASE, 2: made}) == {1: "greedy, countdown, Qwen2.5-0.5B-Instruct", 2: "monkeys, T=1"}


def many() -> dict[int, Condition]:
    kinds: list[dict[str, object]] = [{}, {"temperature": 0.4}, {"temperature": 1.0}, {"sigma": 0.005}]
    models = [("Qwen/base", "a" * 64), (f"{RUN}/step_1/hf", "b" * 64), (f"{RUN}/step_2/hf", "c" * 64)]
    extra: list[dict[str, object]] = [{}, {"max_tokens": 64}, {"stop": ("####", ", b")}]
    made = itertools.product(("countdown", "gsm8k"), models, kinds, extra)
    return {
        i: replace(condition(**kind), task=task, model=path, model_fingerprint=fingerprint, **more)
        for i, (task, (path, fingerprint), kind, more) in enumerate(made, 1)
    }


def test_every_printed_label_means_its_condition_and_no_other() -> None:
    conditions = many()
    labels = distinct_labels(conditions)
    assert len(set(labels.values())) == len(conditions) == 72
    models = shown_models(conditions.values())
    for id_, label in labels.items():
        meant = [
            other
            for other, one in conditions.items()
            if means_condition(label, other, one, (labels[other],), (models[one.model_fingerprint],))
        ]
        assert meant == [id_], label


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ("T=0.4", 18),
        ("greedy", 18),
        ("gsm8k", 36),
        ("T=0.4, gsm8k", 9),
        ("T=0.4, gsm8k, base", 3),
        ("sigma=0.005, countdown, step_2/hf", 3),
        ("T=0.4 (max_tokens=64)", 6),
        ("T=0.4, gsm8k, base (max_tokens=64, no stop)", 1),
        ("T=0.4, gsm8k, base (stop='####' or ', b')", 0),  # the printed label, which a comma in it keeps from its parts
        ("b" * 8, 24),
        ("T=0.5", 0),
        ("gsm8k, nobody", 0),
        ("", 0),
    ],
)
def test_parts_of_a_label_mean_all_that_they_fit(typed: str, count: int) -> None:
    conditions = many()
    models = shown_models(conditions.values())
    fitting = [
        id_ for id_, one in conditions.items() if means_condition(typed, id_, one, (), (models[one.model_fingerprint],))
    ]
    assert len(fitting) == count
