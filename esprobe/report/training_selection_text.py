"""Training against selection among random perturbations, in words and as tables."""

from collections.abc import Iterator

from esprobe.report.markdown_table import markdown_table
from esprobe.report.text import count, gap, plural, points, rate
from esprobe.results.results import Results
from esprobe.results.training_selection import Budget, Level, Perturbations, TrainingSelection
from esprobe.safe_text import markdown, plain
from esprobe.stats.training_contrast import Estimate, Fit, Outcome
from esprobe.stats.verdict import MARGIN

_OUTCOMES: dict[Outcome, str] = {
    "training adds more": "Training adds more than selection at equal cost",
    "selection suffices": "Selection suffices",
    "cannot be told": "Whether training adds more than selection at equal cost cannot be told",
}
_FITS: dict[Fit, str] = {
    "both rose": "Accuracy rose on training problems and on test problems",
    "overfitting": "Overfitting, accuracy rose on the training problems and not on the test problems",
    "held-out cannot be told": "Accuracy rose on the training problems; the test problems are too few to tell whether "
    "it rose there",
    "training did not rise": "Accuracy on the training problems has not been shown to rise",
}


def training_selection_section(results: Results) -> list[str]:
    """The outcome of each training run, its figures at equal budgets, and the levels to compare with."""
    lines: list[str] = []
    for made in results.training_selection:
        if len(results.training_selection) > 1:
            lines += [f"### {markdown(title(made))}", ""]
        lines += [*_one(made), ""]
    return lines[:-1]


def title(made: TrainingSelection) -> str:
    """How figures and headings name the runs of one recipe."""
    return f"{'run' if len(made.runs) == 1 else 'runs'} {', '.join(map(str, made.runs))} of {made.model}"


def sentences(made: TrainingSelection) -> list[str]:
    """What the rules say, each with the figures it is based on after a colon; none that cannot be judged."""
    return [f"{one}." for one in (_outcome(made), _vote(made), _gain(made), _fit(made)) if one is not None]


def _outcome(made: TrainingSelection) -> str | None:
    budget = made.judged
    if made.outcome is None or budget is None or budget.best is None or budget.difference is None:
        return None
    return (
        f"{_OUTCOMES[made.outcome]}: after {plural(budget.trained.iteration, 'iteration')} "
        f"({count(round(budget.trained.spent.rollouts))} rollouts on "
        f"{plural(made.training_problems, 'training problem')}) the trained model solves "
        f"{_rate(budget.trained.accuracy)} of {plural(made.test_problems, 'test problem')}, and the best of "
        f"{_n(budget.best.n)} perturbations {_rate(budget.best.accuracy)}; training minus selection is "
        f"{_gap(budget.difference)}{_margin(made.outcome)}"
    )


def _margin(outcome: Outcome) -> str:
    return f", less than the margin of {100 * MARGIN:g} points" if outcome == "selection suffices" else ""


def _vote(made: TrainingSelection) -> str | None:
    """Against the vote of most voters, at the budget that was judged."""
    if made.judged is None or not made.judged.votes:
        return None
    last = made.judged.votes[-1]
    voters = f"a vote of the {last.vote.voters} best"
    heads: dict[Outcome, str] = {
        "training adds more": f"Training adds more than {voters}",
        "selection suffices": f"{voters[0].upper()}{voters[1:]} suffices",
        "cannot be told": f"Whether training adds more than {voters} cannot be told",
    }
    return (
        f"{heads[last.outcome]}: of {count(last.vote.n)} perturbations, with {last.vote.voters} rollouts for each "
        f"answer, it solves {_rate(last.vote.accuracy)}; training minus the vote is {_gap(last.difference)}"
        f"{_margin(last.outcome)}"
    )


def _gain(made: TrainingSelection) -> str | None:
    """At the budget that was judged, else at the last."""
    budget = made.judged or (made.budgets[-1] if made.budgets else None)
    if budget is None or budget.gain is None or made.base is None:
        return None
    head = "Training itself has not been shown to gain"
    if budget.gain.ci_low is not None and budget.gain.ci_low > 0:
        head = "Training gains accuracy on the test problems"
    elif budget.gain.ci_high is not None and budget.gain.ci_high < 0:
        head = "Training loses accuracy on the test problems"
    return (
        f"{head}: from {_rate(made.base)} of the base, decoded greedily, to {_rate(budget.trained.accuracy)} after "
        f"{plural(budget.trained.iteration, 'iteration')}, {_gap(budget.gain)}"
    )


def _fit(made: TrainingSelection) -> str | None:
    if made.fit is None or made.training_rise is None or made.test_rise is None:
        return None
    return (
        f"{_FITS[made.fit]}: {_gap(made.training_rise)} for the population on the training problems, from the first "
        f"pass through them to the last; {_gap(made.test_rise)} for the trained model on the test problems, from the "
        f"base to iteration {count(made.trained[-1].iteration)}"
    )


def notes(made: TrainingSelection) -> Iterator[str]:
    """What is missing or special, as sentences."""
    if not made.trained:
        yield (
            "No trained model was evaluated on problems outside of training; run the same train-es command with "
            "--eval-every and with --eval-problems outside of its --problems."
        )
        return
    if len(made.runs) == 1:
        yield "Intervals hold for this run: how much another --seed would change it takes several runs to tell."
    else:
        runs = f"{len(made.runs)} runs that differ in --seed alone"
        yield f"Accuracies of training are means of {runs}, and intervals count their spread."
    if made.longest > made.iterations:
        yield (
            f"The runs are shown up to iteration {count(made.iterations)}, which all have finished; the longest has "
            f"{count(made.longest)}."
        )
    if made.perturbations is not None and made.perturbations.sigma != made.sigma:
        yield (
            f"The perturbations have sigma {made.perturbations.sigma:g}, and the populations {made.sigma:g}, of which "
            f"none is stored."
        )
    if made.perturbations is not None and not made.perturbations.votes:
        yield "There is no vote: too few perturbations, or correct rollouts were stored without their answers."
    if made.base is None:
        yield "The base's greedy accuracy on the test problems is not stored, so what training gains is not known."
    if left_out := made.evaluations_left_out:
        numbers = ", ".join(map(str, left_out))
        yield f"Left out, because evaluated on less than half of the test problems: iterations {numbers}."
    if len(made.scorers) > 1:
        yield (
            f"Verdicts are of several scorers ({markdown(', '.join(made.scorers))}), so a difference may come from "
            f"that; name one to make them all of one: esprobe rescore --scorer NAME --write."
        )
    if made.problems_left_out:
        yield f"{plural(made.problems_left_out, 'test problem')} that not everything has are left out."


def _one(made: TrainingSelection) -> list[str]:
    lines = [_what_ran(made), ""]
    for sentence in sentences(made):
        head, colon, figures = sentence.partition(": ")
        lines += [f"**{head}**{colon}{figures}", ""]
    if made.budgets:
        lines += [_explanation(made), "", *markdown_table(_budget_rows(made)), ""]
    if len(votes := _vote_rows(made)) > 1:
        lines += ["The K best of n voting, which takes K rollouts for each answer:", "", *markdown_table(votes), ""]
    if made.perturbations is not None:
        lines += [_perturbations(made.perturbations), ""]
    if made.populations:
        lines += [_POPULATIONS, "", *markdown_table(_population_rows(made)), ""]
    levels = list(_level_rows(made))
    if levels:
        lines += ["Levels on the same test problems:", "", *markdown_table([("level", "solved"), *levels]), ""]
    lines += [" ".join(notes(made))]
    if made.commands:
        lines += ["", _why_more(made), "", "```sh", *map(plain, made.commands), "```"]
    return lines


def _what_ran(made: TrainingSelection) -> str:
    return (
        f"ES on {markdown(made.model)}: {plural(made.iterations, 'iteration')} of {count(made.population)} members on "
        f"{plural(made.problems_per_iteration, 'problem')} each ({markdown(made.parameters)})."
    )


def _explanation(made: TrainingSelection) -> str:
    return (
        f"Rollouts are those on the {plural(made.training_problems, 'training problem')}; all accuracies are on the "
        f"{plural(made.test_problems, 'test problem')} but what the best one seems to solve: that is its accuracy on "
        f"the training problems, by which it was selected. The optimism is how much its lead over the mean "
        f"perturbation shrinks on the test problems."
    )


def _budget_rows(made: TrainingSelection) -> list[tuple[str, ...]]:
    compared = made.perturbations is not None
    heads = ("n", "best of n", "it seems", "optimism", "training minus best of n") if compared else ()
    rows = [("iterations", "rollouts", "trained model", "minus base", *heads)]
    for budget in made.budgets:
        trained = budget.trained
        cells = (
            count(trained.iteration),
            count(round(trained.spent.rollouts)),
            _rate(trained.accuracy),
            "" if budget.gain is None else _gap(budget.gain),
        )
        rows.append((*cells, *(_selected_cells(budget) if compared else ())))
    return rows


def _selected_cells(budget: Budget) -> tuple[str, ...]:
    best = budget.best
    if best is None or budget.difference is None:
        return ("not stored", "", "", "", "")
    optimism = f"{points(best.optimism)} points"
    return (_n(best.n), _rate(best.accuracy), rate(best.training_accuracy), optimism, _gap(budget.difference))


def _vote_rows(made: TrainingSelection) -> list[tuple[str, ...]]:
    voters = sorted({one.vote.voters for budget in made.budgets for one in budget.votes})
    heads = [head for k in voters for head in (f"{k} best voting", f"training minus {k} voting")]
    rows = [("iterations", "n", *heads)]
    for budget in made.budgets:
        by_voters = {one.vote.voters: one for one in budget.votes}
        cells = []
        for k in voters:
            one = by_voters.get(k)
            cells += ["", ""] if one is None else [_rate(one.vote.accuracy), _gap(one.difference)]
        if by_voters:
            rows.append((count(budget.trained.iteration), count(budget.votes[0].vote.n), *cells))
    return rows


_POPULATIONS = (
    "Populations on their training problems, iterations counted from 0, with the mean, the standard deviation and the "
    "largest of their members' fitness (mean reward). An update is the norm of all that training has added to the "
    "weights before it, over the norm of the base's weights:"
)


def _population_rows(made: TrainingSelection) -> list[tuple[str, ...]]:
    """The first population, those at powers of two, and the last."""
    last = made.populations[-1].iteration
    groups = list(dict.fromkeys(group for one in made.populations for group, _ in one.update))
    updates = [f"update, {group}" for group in groups]
    rows: list[tuple[str, ...]] = [("iteration", "correct", "fitness", "standard deviation", "best", *updates)]
    for one in made.populations:
        if one.iteration in (0, last) or one.iteration.bit_count() == 1:
            fitness = (f"{value:.4f}" for value in (one.fitness, one.spread, one.best))
            sizes = dict(one.update)
            relative = (f"{100 * sizes[group]:.2f} %" if group in sizes else "" for group in groups)
            rows.append((count(one.iteration), rate(one.accuracy), *fitness, *relative))
    return rows


def _perturbations(made: Perturbations) -> str:
    return (
        f"The {count(made.count)} perturbations (sigma {made.sigma:g}) solve {rate(made.training_mean)} of the "
        f"training problems and {rate(made.mean)} of the test problems on average. Their accuracies on the test "
        f"problems have a standard deviation of {100 * made.sd_between:.1f} points, the luck of finitely many problems "
        f"taken out: that is what there is to select."
    )


def _level_rows(made: TrainingSelection) -> Iterator[tuple[str, str]]:
    if made.base is not None:
        yield "base, decoded greedily", _rate(made.base)
    for level in made.levels:
        yield markdown(level_label(level)), _rate(level.accuracy)


def level_label(level: Level) -> str:
    """How tables and figures name a level of a temperature."""
    if level.wanted is None:
        return f"best temperature, {level.label}, k = 1"
    cost = "costs what training cost" if level.k == level.wanted else f"{count(level.wanted)} would cost as much"
    return f"best temperature, {level.label}, pass@k at k = {count(level.k)} ({cost})"


def _why_more(made: TrainingSelection) -> str:
    if made.perturbations is None:
        return "Perturbations of the base on the training and test problems are missing; this draws them:"
    return "Fewer perturbations are stored than the last iteration's rollouts would buy; this draws the others:"


def _rate(value: Estimate) -> str:
    return rate(value.estimate, value.ci_low, value.ci_high)


def _gap(value: Estimate) -> str:
    return gap(value.estimate, value.ci_low, value.ci_high)


def _n(n: float) -> str:
    return f"{n:,.1f}".removesuffix(".0")
