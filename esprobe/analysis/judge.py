"""The verdict in words: the rule of ``stats.verdict`` applied to what was chosen on other problems.

docs/statistics.md states the rule; nothing here may depend on what the data turned out to be.
"""

from collections.abc import Sequence
from dataclasses import replace

from esprobe.analysis.choose import Field
from esprobe.analysis.nulls import Null
from esprobe.analysis.pairs import null_side, shares_seeds
from esprobe.stats.difference import DifferencePoint, paired_difference
from esprobe.stats.multiplicity import holm
from esprobe.stats.selection import Selection
from esprobe.stats.side import Side
from esprobe.stats.verdict import PRIMARY_KS, Finding, Outcome, Verdict, outcome_of

ARMS = "best sigma against best temperature"
NULL = "{} against {}"
GREEDY = "{} against the greedy baseline"
ZERO = "best sigma against sigma 0"

_ABSENT = "no {} is among these conditions"  # which need not be all that were sampled


def judge(field: Field | None, selection: Selection | None, nulls: Sequence[Null]) -> Verdict:
    """The pre-declared contrasts on the problems that no choice has seen."""
    if field is None or selection is None:
        missing = tuple(_ABSENT.format(name) for name in ("temperature", "sigma above 0"))
        return Verdict("Neither arm is among these conditions, so there is nothing to judge.", (), (), (), (), missing)
    by_id = {c.id: c for c in (*field.temperatures, *field.sigmas)}
    best_t = {chosen.k: by_id[chosen.condition] for chosen in selection.temperatures}
    best_s = {chosen.k: by_id[chosen.condition] for chosen in selection.sigmas}
    judged = field.judged_on
    primary = [
        _contrast(ARMS, k, best_t[k].label, best_s[k].label, best_t[k].side(judged, (k,)), best_s[k].side(judged, (k,)))
        for k in PRIMARY_KS
        if k in best_t and k in best_s
    ]
    against_null = []
    null = next((n for n in nulls if by_id and n.speaks_of(next(iter(by_id.values())).condition)), None)
    known = null is not None and set(judged.tolist()) <= set(null.indices.tolist())
    if null is not None and known:
        for name, best in (("best temperature", best_t), ("best sigma", best_s)):
            for k, condition in best.items():
                question = NULL.format(name, null.label)
                guessing = null_side(null, judged, (k,))
                against_null.append(
                    _contrast(question, k, null.label, condition.label, guessing, condition.side(judged, (k,)))
                )
    greedy = field.greedy
    against_greedy = [
        _contrast(
            GREEDY.format(name), 1, greedy.label, best[1].label, greedy.side(judged, (1,)), best[1].side(judged, (1,))
        )
        for name, best in (("best temperature", best_t), ("best sigma", best_s))
        if greedy is not None and 1 in best
    ]
    zero = field.zero
    against_zero = []
    if zero is not None:
        n_min = zero.outcomes.rows(zero.rows(judged)).n_min
        against_zero = [
            _contrast(
                ZERO,
                k,
                zero.label,
                condition.label,
                zero.side(judged, (k,)),
                condition.side(judged, (k,)),
                shared_seeds=shares_seeds(zero, condition),
            )
            for k, condition in best_s.items()
            if k <= n_min
        ]
    findings = _adjusted(primary), _adjusted(against_null), _adjusted(against_greedy), _adjusted(against_zero)
    return Verdict(_summary(*findings), *findings, missing=_missing(field, selection, null is not None and known))


def _contrast(
    question: str, k: int, label_a: str, label_b: str, a: Side, b: Side, *, shared_seeds: bool = False
) -> Finding:
    (point,) = paired_difference(a, b, shared_seeds=shared_seeds).points
    return Finding(
        question=question,
        k=k,
        a=label_a,
        b=label_b,
        estimate=point.estimate,
        ci_low=point.ci_low,
        ci_high=point.ci_high,
        p_holm=point.p,
        outcome=None,
        sentence=_values(point),
    )


def _values(point: DifferencePoint) -> str:
    return f"{100 * point.b:.1f} % against {100 * point.a:.1f} %"


def _adjusted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The same with p adjusted for all of them, and what the rule makes of it."""
    told = []
    for finding, p in zip(findings, holm([f.p_holm for f in findings]), strict=True):
        outcome = outcome_of(finding.estimate, finding.ci_low, finding.ci_high, p)
        told.append(replace(finding, p_holm=p, outcome=outcome, sentence=_sentence(finding, outcome)))
    return tuple(told)


def _sentence(finding: Finding, outcome: Outcome | None) -> str:
    values = f"At k = {finding.k}, {finding.b} reaches {finding.sentence} of {finding.a}"
    if finding.ci_low is None or finding.ci_high is None:
        return f"{values}; how sure that is cannot be told from these data."
    difference = f"{100 * finding.estimate:+.1f} points [{100 * finding.ci_low:+.1f}, {100 * finding.ci_high:+.1f}]"
    words = {
        "B ahead": f"{finding.b} is ahead",
        "A ahead": f"{finding.a} is ahead",
        "alike": "the two are alike to within 2 points",
        "not told apart": "the data do not tell the two apart",
        None: "how sure that is cannot be told",
    }
    return f"{values}, {difference}: {words[outcome]}."


def _summary(
    primary: Sequence[Finding],
    against_null: Sequence[Finding],
    against_greedy: Sequence[Finding],
    against_zero: Sequence[Finding],
) -> str:
    parts = [_arms(primary), *_decoding(against_greedy), *_guessing(against_null)]
    if against_zero:
        ahead = [f.k for f in against_zero if f.outcome == "B ahead"]
        if ahead:
            parts.append(f"Perturbing weights reaches more than numerical noise alone at {_ks(ahead)}.")
        else:
            parts.append("Nothing shows that perturbing weights reaches more than numerical noise alone does.")
    return " ".join(parts)


def _arms(primary: Sequence[Finding]) -> str:
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
    for finding in primary:
        by_outcome.setdefault(finding.outcome, []).append(finding.k)
    text = "; ".join(f"at {_ks(ks)} {words[outcome]}" for outcome, ks in by_outcome.items()) + "."
    return text[0].upper() + text[1:]


def _decoding(against_greedy: Sequence[Finding]) -> list[str]:
    """One sentence for each arm that one rollout tells apart from the unperturbed model's greedy answer."""
    words = {"A ahead": "solves less than", "B ahead": "solves more than", "alike": "solves as much as"}
    found = [(f.question.split(" against ")[0], words[f.outcome]) for f in against_greedy if f.outcome in words]
    return [f"One rollout of the {arm} {does} greedy decoding of the unperturbed model." for arm, does in found]


def _guessing(against_null: Sequence[Finding]) -> list[str]:
    """One sentence for each arm, on whether it reaches more than guessing."""
    parts = []
    for question in dict.fromkeys(f.question for f in against_null):
        of_arm = [f for f in against_null if f.question == question]
        name = question.split(" against ")[0]
        above = [f.k for f in of_arm if f.outcome == "B ahead"]
        below = [f.k for f in of_arm if f.outcome == "A ahead"]
        if above:
            text = f"The {name} is above {of_arm[0].a} at {_ks(above)}"
        elif any(f.outcome for f in of_arm):
            text = f"The {name} is nowhere shown to be above {of_arm[0].a}"
        else:
            text = f"Whether the {name} is above {of_arm[0].a} cannot be told"
        if below:
            text += f" and below it at {_ks(below)}, where solving a problem once says nothing about ability"
        parts.append(text + ".")
    return parts


def _ks(ks: Sequence[int]) -> str:
    *first, last = (str(k) for k in ks)
    return f"k = {', '.join(first)} and {last}" if first else f"k = {last}"


def _missing(field: Field, selection: Selection, has_null: bool) -> tuple[str, ...]:
    missing = []
    for name, arm, chosen in (
        ("temperature", field.temperatures, selection.temperatures),
        ("sigma above 0", field.sigmas, selection.sigmas),
    ):
        if not arm:
            missing.append(_ABSENT.format(name))
        elif not field.can_be_halved:
            missing.append(f"the {name} arm: {field.too_few}")
        elif absent := [k for k in PRIMARY_KS if k not in {c.k for c in chosen}]:
            missing.append(f"{_ks(absent)} of the {name} arm: too few rollouts")
    if not has_null:
        missing.append("no null: the task brings none for all of these problems, so guessing is not known")
    if field.zero is None:
        missing.append(
            "no sigma 0 is among these conditions over all of these problems, so numerical noise is not known; sample "
            "it with: sample-perturb --sigma 0"
        )
    return tuple(missing)
