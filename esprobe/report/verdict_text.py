"""The verdict in words: the report's section, and the sentences that its JSON has too."""

from collections.abc import Sequence

from esprobe.report.selection_text import selection_note, too_few_problems
from esprobe.report.text import gap, k_list, p_value, plural, rate, sentence
from esprobe.results.results import Results
from esprobe.safe_text import markdown
from esprobe.spec import Kind
from esprobe.stats.verdict import (
    ArmTooFewProblems,
    ArmTooFewRollouts,
    ContrastResult,
    Missing,
    NoArm,
    NoNull,
    NoSigma0,
    Outcome,
    Reference,
    Verdict,
)

FEW_PROBLEMS = 100
"""Held-out problems below which intervals are rough."""


def verdict_section(results: Results) -> list[str]:
    """The summary, every contrast, and what is missing; nothing without a verdict."""
    verdict = results.verdict
    if verdict is None:
        return []
    lines = [markdown(summary(verdict)), "", _rule(results)]
    if results.roles is not None:
        lines = [f"Of the base, {markdown(results.roles.base.name)}, alone:", "", *lines]
    if results.selection is not None:
        lines += [line for note in results.selection.notes for line in ("", sentence(markdown(selection_note(note))))]
    for title, contrasts in (
        ("The two arms", verdict.primary),
        ("Against guessing", verdict.against_null),
        ("Against greedy decoding of the unperturbed model", verdict.against_greedy),
        ("Against sigma 0, which is numerical noise alone", verdict.against_zero),
    ):
        if contrasts:
            lines += ["", f"{title}:", ""]
            lines += [f"- {markdown(contrast_sentence(c))}{_p(c.p_holm)}" for c in contrasts]
    if verdict.missing:
        lines += ["", "What could not be judged:", ""]
        lines += [f"- {markdown(missing_clause(reason))}." for reason in verdict.missing]
    return lines


def _rule(results: Results) -> str:
    rule = (
        "By the rule of docs/statistics.md, fixed before any data were seen: the best temperature and the best sigma "
        "are chosen on one half of the problems and compared on the other at k = 1, 16 and 256."
    )
    selection = results.selection
    judged_on = [] if selection is None else [c.judged_on for c in (*selection.temperatures, *selection.sigmas)]
    if judged_on:
        rule += f" The other half is {plural(max(judged_on), 'problem')}."
        if max(judged_on) < FEW_PROBLEMS:
            rule += " On so few, intervals and p are rough."
    return rule


def question(contrast: ContrastResult) -> str:
    """Which contrast it is, such as "best sigma against best temperature"."""
    references = {
        Reference.BEST_TEMPERATURE: "best temperature",
        Reference.GUESSING: contrast.a,
        Reference.GREEDY: "the greedy baseline",
        Reference.SIGMA_0: "sigma 0",
    }
    return f"{_best(contrast.arm)} against {references[contrast.reference]}"


def contrast_sentence(contrast: ContrastResult) -> str:
    """Both values, their difference and the outcome."""
    a, b = contrast.a, contrast.b
    values = f"At k = {contrast.k}, {b} reaches {rate(contrast.pass_b)} against {rate(contrast.pass_a)} of {a}"
    if contrast.ci_low is None or contrast.ci_high is None:
        return f"{values}; how sure that is cannot be told from these data."
    outcomes: dict[Outcome | None, str] = {
        "B ahead": f"{b} is ahead",
        "A ahead": f"{a} is ahead",
        "alike": "the two are alike to within 2 points",
        "not told apart": "the data do not tell the two apart",
        None: "how sure that is cannot be told",
    }
    difference = gap(contrast.estimate, contrast.ci_low, contrast.ci_high)
    return f"{values}, {difference}: {outcomes[contrast.outcome]}."


def summary(verdict: Verdict) -> str:
    """A few sentences on all contrasts."""
    if {reason.arm for reason in verdict.missing if isinstance(reason, NoArm)} == {Kind.TEMPERATURE, Kind.PERTURBATION}:
        return "Neither arm is among these conditions, so there is nothing to judge."
    parts = [
        _arms_sentence(verdict.primary),
        *_greedy_sentences(verdict.against_greedy),
        *_guessing_sentences(verdict.against_null),
    ]
    if verdict.against_zero:
        ahead = [c.k for c in verdict.against_zero if c.outcome == "B ahead"]
        if ahead:
            parts.append(f"Perturbing weights reaches more than numerical noise alone at {k_list(ahead)}.")
        else:
            parts.append("Nothing shows that perturbing weights reaches more than numerical noise alone does.")
    return " ".join(parts)


def _arms_sentence(primary: Sequence[ContrastResult]) -> str:
    if not primary:
        return "The two arms cannot be compared."
    words: dict[Outcome | None, str] = {
        "B ahead": "weight space reaches more than token space",
        "A ahead": "token space reaches more than weight space",
        "alike": "the two arms reach the same to within 2 points",
        "not told apart": "the data do not tell the two arms apart",
        None: "nothing can be said of the two arms",
    }
    by_outcome: dict[Outcome | None, list[int]] = {}
    for contrast in primary:
        by_outcome.setdefault(contrast.outcome, []).append(contrast.k)
    return sentence("; ".join(f"at {k_list(ks)} {words[outcome]}" for outcome, ks in by_outcome.items()))


def _greedy_sentences(against_greedy: Sequence[ContrastResult]) -> list[str]:
    """One sentence for each arm of which one rollout differs from the unperturbed model's greedy answer."""
    words: dict[Outcome | None, str] = {
        "A ahead": "solves less than",
        "B ahead": "solves more than",
        "alike": "solves as much as",
    }
    return [
        f"One rollout of the {_best(c.arm)} {words[c.outcome]} greedy decoding of the unperturbed model."
        for c in against_greedy
        if c.outcome in words
    ]


def _guessing_sentences(against_null: Sequence[ContrastResult]) -> list[str]:
    """One sentence for each arm, on whether it reaches more than guessing."""
    parts = []
    for arm in dict.fromkeys(c.arm for c in against_null):
        of_arm = [c for c in against_null if c.arm is arm]
        name, null = _best(arm), of_arm[0].a
        above = [c.k for c in of_arm if c.outcome == "B ahead"]
        below = [c.k for c in of_arm if c.outcome == "A ahead"]
        if above:
            text = f"The {name} is above {null} at {k_list(above)}"
        elif any(c.outcome for c in of_arm):
            text = f"The {name} is nowhere shown to be above {null}"
        else:
            text = f"Whether the {name} is above {null} cannot be told"
        if below:
            text += f" and below it at {k_list(below)}, where solving a problem once says nothing about ability"
        parts.append(f"{text}.")
    return parts


def missing_clause(reason: Missing) -> str:
    """Why a contrast is missing, without a full stop."""
    match reason:
        case NoArm(arm):
            return f"no {_arm(arm)} is among these conditions"  # which need not be all that were sampled
        case ArmTooFewProblems(arm, problems):
            return f"the {_arm(arm)} arm: {too_few_problems(problems)}"
        case ArmTooFewRollouts(arm, ks):
            return f"{k_list(ks)} of the {_arm(arm)} arm: too few rollouts"
        case NoNull():
            return "no null: the task brings none for all of these problems, so guessing is not known"
        case NoSigma0():
            return (
                "no sigma 0 is among these conditions over all of these problems, so numerical noise is not known; "
                "sample it with: sample-perturb --sigma 0"
            )


def _best(arm: Kind) -> str:
    return f"best {arm.parameter}"


def _arm(arm: Kind) -> str:
    return "sigma above 0" if arm.shares_noise else str(arm.parameter)


def _p(p: float | None) -> str:
    return "" if p is None else f" (p {p_value(p)}, Holm)"
