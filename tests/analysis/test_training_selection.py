"""Training against selection, from a database to the report's sentences."""

import json
import shlex
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esprobe.analysis import load_results
from esprobe.report.charts.training import against_selection, against_test
from esprobe.report.markdown import as_report
from esprobe.report.matplotlib_figures import draw
from esprobe.report.plotly_figures import as_plotly
from esprobe.report.report_json import as_report_json
from esprobe.report.training_selection_text import training_selection_section
from esprobe.results.training_selection import TrainingSelection
from esprobe.store.choice import Filters
from tests.analysis.trained_file import TEST, TRAINING, share, trained_file
from tests.conftest import run_esprobe
from tests.training.material import scripted

MEMBERS = 3


def populations(first: float, last: float, count: int = 4) -> list[np.ndarray]:
    """Populations whose accuracy goes from one share to another."""
    rng = np.random.default_rng(1)
    return [rng.random((len(TRAINING), MEMBERS)) < chance for chance in np.linspace(first, last, count)]


def perturbations(chance: float, count: int = 12) -> np.ndarray:
    return np.random.default_rng(2).random((len(TRAINING) + len(TEST), count)) < chance


def selected(path: Path) -> TrainingSelection:
    (made,) = load_results(path, whole=True).training_selection
    return made


@pytest.fixture
def material() -> dict[str, Any]:
    """Training triples what the base solves, and perturbations are like the base."""
    return {
        "base": share(20),
        "trained": {2: share(40), 4: share(60)},
        "perturbed": perturbations(0.2),
        "populations": populations(0.2, 0.7),
    }


class TestFigures:
    def test_best_of_n_is_the_mean_over_all_subsets(self, tmp_path: Path, material: dict[str, Any]) -> None:
        made = selected(trained_file(tmp_path / "es.db", **material))
        (budget,) = [one for one in made.budgets if one.trained.iteration == 2]
        assert budget.best is not None and budget.best.n == 6  # 2 iterations of 3 members
        verdicts = material["perturbed"]
        fitness, training, test = (verdicts[rows].mean(axis=0) for rows in (TRAINING, TRAINING, TEST))
        expected = []
        for subset in combinations(range(12), 6):
            best = [one for one in subset if fitness[one] == max(fitness[list(subset)])]
            expected.append([training[best].mean(), test[best].mean()])
        seems, reached = np.mean(expected, axis=0)
        assert budget.best.training_accuracy == pytest.approx(seems)
        assert budget.best.fitness == pytest.approx(0.1 + seems)
        assert budget.best.accuracy.estimate == pytest.approx(reached)
        assert budget.best.optimism == pytest.approx(seems - training.mean() - reached + test.mean())
        assert budget.difference is not None
        assert budget.difference.estimate == pytest.approx(0.4 - reached)

    def test_what_was_spent_and_how_populations_did(self, tmp_path: Path, material: dict[str, Any]) -> None:
        made = selected(trained_file(tmp_path / "es.db", **material))
        assert [one.spent.rollouts for one in made.trained] == [120, 240]
        assert [one.spent.tokens for one in made.trained] == [360, 720]  # three of each rollout
        assert [one.accuracy for one in made.populations] == [one.mean() for one in material["populations"]]
        fitnesses = [0.1 + one.mean(axis=0) for one in material["populations"]]
        assert [one.spread for one in made.populations] == pytest.approx([one.std() for one in fitnesses])
        assert [one.best for one in made.populations] == pytest.approx([one.max() for one in fitnesses])
        assert made.perturbations is not None
        assert [one.spent.rollouts for one in made.perturbations.best_of] == [20 * n for n in range(1, 13)]
        assert made.test_problems == 100 and made.base is not None and made.base.estimate == 0.2
        assert made.commands == ()

    def test_the_size_of_the_updates(self, tmp_path: Path, material: dict[str, Any]) -> None:
        made = selected(trained_file(tmp_path / "es.db", **material))
        assert [dict(one.update) for one in made.populations] == [{}, {"mlp": 0.05}, {"mlp": 0.1}, {"mlp": 0.15}]
        shown = "\n".join(training_selection_section(load_results(tmp_path / "es.db", whole=True)))
        assert "update, mlp |" in shown and "| 5.00 % |" in shown

    def test_verdicts_of_another_scorer_are_named(self, tmp_path: Path, material: dict[str, Any]) -> None:
        path = trained_file(tmp_path / "es.db", **material)
        done = run_esprobe(tmp_path, "rescore", "--db", "es.db", "--scorer", "strict", "--write")
        assert done.returncode == 0, done.stderr
        assert selected(path).scorers == ("es-paper/1", "strict/1")

    def test_votes_need_twice_as_many_perturbations(self, tmp_path: Path, material: dict[str, Any]) -> None:
        made = selected(trained_file(tmp_path / "es.db", **material))
        assert made.judged is not None and [one.vote.voters for one in made.judged.votes] == [5]

    def test_more_iterations_than_perturbations_pay_for_are_not_compared(
        self, tmp_path: Path, material: dict[str, Any]
    ) -> None:
        material["perturbed"] = perturbations(0.2, 8)
        made = selected(trained_file(tmp_path / "es.db", **material))
        assert made.judged is not None and made.judged.trained.iteration == 2
        assert made.budgets[-1].best is None and made.budgets[-1].trained.iteration == 4
        assert "--samples 12" in made.commands[0] and "--problems 0:120" in made.commands[0]


class TestSentences:
    @pytest.mark.parametrize(
        ("trained", "chance", "expected"),
        [
            (60, 0.2, "**Training adds more than selection at equal cost**: after 4 iterations (240 rollouts on 20 "),
            (20, 0.6, "**Selection suffices**: after 4 iterations (240 rollouts on 20 training problems) the trained "),
            (24, 0.2, "**Whether training adds more than selection at equal cost cannot be told**: after 4 iterations"),
        ],
    )
    def test_the_three_outcomes(
        self, tmp_path: Path, material: dict[str, Any], trained: int, chance: float, expected: str
    ) -> None:
        changes = {"trained": {4: share(trained)}, "perturbed": perturbations(chance)}
        results = load_results(trained_file(tmp_path / "es.db", **material | changes), whole=True)
        (made,) = results.training_selection
        assert made.judged is not None and made.judged.best is not None and made.judged.difference is not None
        text = as_report(results)
        assert expected in text
        assert ("less than the margin of 2 points" in text) == ("suffices" in expected)
        assert f"the best of 12 perturbations {100 * made.judged.best.accuracy.estimate:.1f} % [" in text
        assert f"training minus selection is {100 * made.judged.difference.estimate:+.1f} points [" in text
        (entry,) = json.loads(as_report_json(results))["training_selection"]
        assert entry["outcome"] == made.outcome and entry["sentences"][0].startswith(expected.split("**")[1])
        assert entry["judged"]["difference"]["ci_low"] == made.judged.difference.ci_low

    @pytest.mark.parametrize(
        ("last", "trained", "expected"),
        [
            (0.9, 22, "**Overfitting, accuracy rose on the training problems and not on the test problems**"),
            (0.9, 60, "**Accuracy rose on training problems and on test problems**"),
            (0.2, 22, "**Accuracy on the training problems has not been shown to rise**"),
        ],
    )
    def test_overfitting(
        self, tmp_path: Path, material: dict[str, Any], last: float, trained: int, expected: str
    ) -> None:
        changes = {"populations": populations(0.2, last), "trained": {4: share(trained)}}
        results = load_results(trained_file(tmp_path / "es.db", **material | changes), whole=True)
        assert expected in as_report(results)

    def test_the_vote_has_a_sentence_of_its_own(self, tmp_path: Path, material: dict[str, Any]) -> None:
        results = load_results(trained_file(tmp_path / "es.db", **material), whole=True)
        (made,) = results.training_selection
        assert made.judged is not None
        (vote,) = made.judged.votes
        text = as_report(results)
        assert "**Training adds more than a vote of the 5 best**: of 12 perturbations, with 5 rollouts for each" in text
        assert f"training minus the vote is {100 * vote.difference.estimate:+.1f} points [" in text

    def test_training_that_gains_nothing_is_told_so(self, tmp_path: Path, material: dict[str, Any]) -> None:
        material["trained"] = {4: share(21)}
        results = load_results(trained_file(tmp_path / "es.db", **material), whole=True)
        assert "**Training itself has not been shown to gain**: from 20.0 % [" in as_report(results)

    def test_runs_that_differ_in_the_seed_are_averaged(self, tmp_path: Path, material: dict[str, Any]) -> None:
        path = trained_file(tmp_path / "es.db", **material)
        one = selected(path)
        trained_file(path, **material | {"trained": {4: share(90)}}, seed=43)
        both = selected(path)
        assert both.runs == (1, 2)
        (model,) = both.trained  # the only iteration at which both were evaluated
        assert model.accuracy.estimate == pytest.approx(0.75)
        assert one.judged is not None and one.judged.difference is not None
        assert both.judged is not None and both.judged.difference is not None
        assert one.judged.difference.ci_low is not None and both.judged.difference.ci_low is not None
        assert both.judged.difference.ci_low < one.judged.difference.ci_low  # two runs as far apart tell little
        assert "means of 2 runs" in "\n".join(training_selection_section(load_results(path, whole=True)))


class TestReport:
    def test_a_file_without_training_has_neither_section_nor_figure(self, tmp_path: Path, script: Path) -> None:
        done = run_esprobe(
            tmp_path, "sample-temp", "--engine", "scripted", "--model", script, "--problems", "0:4", "--samples", 2
        )
        assert done.returncode == 0, done.stderr
        results = load_results(tmp_path / "esprobe.db", whole=True)
        assert "Training" not in as_report(results)
        assert json.loads(as_report_json(results))["training_selection"] == []
        page = run_esprobe(tmp_path, "report", "--format", "html", "-o", "page.html")
        assert page.returncode == 0, page.stderr
        assert "training-against" not in (tmp_path / "page.html").read_text()

    def test_conditions_asked_for_leave_it_out(self, tmp_path: Path, material: dict[str, Any]) -> None:
        path = trained_file(tmp_path / "es.db", **material)
        assert load_results(path, Filters(("greedy",)), whole=True).training_selection == ()

    def test_charts_show_every_line(self, tmp_path: Path, material: dict[str, Any]) -> None:
        results = load_results(trained_file(tmp_path / "es.db", **material), whole=True)
        chart = against_selection(results).first
        assert [one.label for one in chart.series] == [
            "5 best of n voting", "best of n perturbations", "trained model, test problems",
        ]  # fmt: skip
        assert chart.series[-1].x == (120, 240) and chart.series[-1].y == (0.4, 0.6)
        assert [one.label for one in chart.references] == ["base, greedy"]
        population = against_test(results).first.series[0]
        assert population.y == tuple(one.mean() for one in material["populations"])
        assert against_selection(results).charts[0, 2].absent  # no engine-seconds were recorded

    def test_both_libraries_draw_every_chart(self, tmp_path: Path, material: dict[str, Any]) -> None:
        graph_objects = pytest.importorskip("plotly.graph_objects")
        pytest.importorskip("matplotlib")
        results = load_results(trained_file(tmp_path / "es.db", **material), whole=True)
        for figure in (against_selection(results), against_test(results)):
            assert set(figure.filed) == {(0, 0)}
            for key, chart in figure.charts.items():
                if not chart.absent:
                    graph_objects.Figure(as_plotly(chart))
                    assert draw(chart, figure.title, "png").startswith(b"\x89PNG"), key

    def test_a_run_without_evaluations_says_what_to_do(self, tmp_path: Path, material: dict[str, Any]) -> None:
        material["trained"] = {}
        results = load_results(trained_file(tmp_path / "es.db", **material), whole=True)
        assert "--eval-every" in "\n".join(training_selection_section(results))
        assert against_selection(results).first.series == ()

    def test_a_model_with_a_hostile_name_is_only_a_name(self, tmp_path: Path, material: dict[str, Any]) -> None:
        results = load_results(trained_file(tmp_path / "es.db", **material), whole=True)
        (made,) = results.training_selection
        evil = replace(made, model="a|b\n# <script> ```", commands=("esprobe --model 'x\n```'",))
        text = "\n".join(training_selection_section(replace(results, training_selection=(evil,))))
        assert "<script>" not in text and "\n# " not in text
        assert text.count("\n```") == 2  # one fence, opened and closed


class TestCommandLine:
    def test_the_command_that_is_printed_draws_what_is_missing(self, tmp_path: Path) -> None:
        """In blocks and pairs, so that an iteration costs less than a perturbation: 4 x 5 rollouts against 10."""
        more = ("--iterations", 3, "--antithetic", "--problems-per-iteration", 5, "--db", "es.db")
        done = run_esprobe(tmp_path, *scripted(tmp_path, *more))
        assert done.returncode == 0, done.stderr
        before = run_esprobe(tmp_path, "report", "--db", "es.db")
        assert before.returncode == 0 and "are missing; this draws them" in before.stdout
        lines = before.stdout.splitlines()
        commands = [line for line in lines if line.startswith("esprobe sample-perturb")]
        assert len(commands) == 2  # training and test problems do not touch
        for command in commands:
            drawn = run_esprobe(tmp_path, *shlex.split(command)[1:])
            assert drawn.returncode == 0, drawn.stderr
        after = run_esprobe(tmp_path, "report", "--db", "es.db", "--format", "json")
        assert after.returncode == 0, after.stderr
        (entry,) = json.loads(after.stdout)["training_selection"]
        assert entry["commands"] == []
        assert entry["perturbations"]["count"] == 6  # 3 iterations of 4 members on 5 problems are 6 times 10
        assert entry["judged"]["trained"]["iteration"] == 3
        assert entry["judged"]["trained"]["spent"]["rollouts"] == 60
        assert entry["outcome"] is not None
