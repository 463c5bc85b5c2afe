"""From the store's values to results, and labels that tell conditions apart."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from esprobe.analysis.condition import condition_result
from esprobe.records import StoredCondition, Totals
from esprobe.results.results import NullResult, Results
from esprobe.stats.curve import expected_curve
from esprobe.tasks.published import published_points
from tests.report.material import BASE, condition, correctness, result


def labels(*conditions) -> list[str]:
    made = tuple(result(i, c, [[1, 0], [0, 0]]) for i, c in enumerate(conditions, start=1))
    return list(Results(task="t", scorer="s", conditions=made).labels.values())


def test_reports_are_made_without_the_store():
    code = (
        "import sys, esprobe.report.markdown, esprobe.report.report_json, esprobe.tasks.published;"
        "bad = {'sqlmodel', 'esprobe.store', 'esprobe.cli', 'torch'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestConditionResult:
    def test_counts(self):
        stored = np.array([[True, True, True, True], [True, True, True, False]])
        made = result(7, condition(temperature=0.4), [[1, 0, 0, 1], [0, 0, 1, 0]], stored)
        assert (made.id, made.kind, made.problems, made.samples_min, made.samples_max) == (7, "temperature", 2, 3, 4)
        assert (made.planned, made.missing, made.totals.rollouts, made.totals.correct) == (8, 1, 7, 3)
        assert [p.k for p in made.curve.points] == [1, 2]

    def test_a_plan_that_is_not_recorded(self):
        made = condition_result(StoredCondition(1, BASE), correctness([[1], [0]]), Totals(2, 1, 9, 0))
        assert made.extent is made.missing is made.planned is None

    def test_nothing_stored(self):
        made = result(1, condition(sigma=0.005), np.zeros((0, 0)))
        assert (made.problems, made.samples_min, made.samples_max, made.curve.points) == (0, 0, 0, ())

    def test_k_beyond_n_is_refused(self):
        with pytest.raises(ValueError, match="fewest rollouts"):
            result(1, condition(temperature=0.4), [[1, 0], [0, 0]], ks=[3])

    def test_a_baseline_has_k_1_whatever_is_asked(self):
        assert [p.k for p in result(1, BASE, [[1], [0]], ks=[2, 4]).curve.points] == [1]


class TestLabels:
    def test_plain_where_they_differ(self):
        assert labels(BASE, condition(temperature=0.4), condition(sigma=0.005)) == ["greedy", "T=0.4", "sigma=0.005"]

    def test_models_are_named_where_there_are_several(self):
        other = replace(condition(sigma=0.005), model="runs/es-500", model_fingerprint="0" * 64)
        short = BASE.model.rpartition("/")[2]
        assert labels(condition(temperature=0.4), other) == [f"T=0.4, {short}", "sigma=0.005, es-500"]

    def test_what_differs_is_named(self):
        short = replace(condition(temperature=0.4), max_tokens=64)
        assert labels(condition(temperature=0.4), short, BASE) == [
            "T=0.4 (max_tokens=1024)",
            "T=0.4 (max_tokens=64)",
            "greedy",
        ]

    def test_conditions_that_end_loops_are_told_from_those_that_do_not(self):
        assert labels(BASE, replace(BASE, stop_loops=True)) == ["greedy (no stop_loops)", "greedy (stop_loops=True)"]

    def test_tasks_are_named_where_there_are_several(self):
        assert labels(BASE, replace(BASE, task="another")) == ["greedy, countdown", "greedy, another"]

    def test_one_name_for_two_sets_of_weights(self):
        other = replace(BASE, model_fingerprint="0" * 64)
        assert labels(BASE, other) == [
            f"greedy (model_fingerprint={'f' * 12})",
            f"greedy (model_fingerprint={'0' * 12})",
        ]

    def test_what_only_one_has(self):
        assert labels(condition(sigma=0.01), condition(sigma=0.01, scope="mlp")) == [
            "sigma=0.01 (no scope)",
            "sigma=0.01 (scope=mlp)",
        ]

    def test_sigmas_that_differ_far_behind_the_point(self):
        made = labels(condition(sigma=0.00512345678), condition(sigma=0.00512345679))
        assert made == ["sigma=0.00512345678", "sigma=0.00512345679"]

    def test_sigmas_that_print_alike(self):
        made = labels(condition(sigma=0.005123456789012), condition(sigma=0.005123456789013))
        assert made == [
            "sigma=0.00512345678901 (sigma=0.005123456789012)",
            "sigma=0.00512345678901 (sigma=0.005123456789013)",
        ]

    def test_the_last_resort_is_the_id(self):
        other = replace(BASE, model_fingerprint="f" * 12 + "0" * 52)
        first, second = labels(BASE, other)
        assert first.endswith("#1") and second.endswith("#2")


class TestKs:
    def test_those_of_the_conditions(self, results):
        assert results.ks == (1, 2, 4, 8, 16, 32, 64)

    def test_without_conditions(self):
        null = NullResult("guessing", "at random", expected_curve(np.array([0.1, 0.2]), [1, 4096]))
        assert Results(task="t", scorer="s", conditions=(), nulls=(null,)).ks == (1, 4096)
        assert Results(task="t", scorer="s", conditions=()).ks == ()


def test_published_points():
    base, grpo, es = published_points("countdown")
    assert (base.estimate, grpo.estimate, es.estimate) == (0.001, 0.0, 0.157)
    assert {p.model for p in (base, grpo, es)} == {"Qwen/Qwen2.5-0.5B-Instruct"}
    assert published_points("another") == ()
