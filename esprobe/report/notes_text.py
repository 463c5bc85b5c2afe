"""Notes on comparisons and tables in words."""

from esprobe.records import FOREIGN
from esprobe.records.labels import short_names
from esprobe.report.text import count, plural, sentence
from esprobe.results.given_up import SeedsGivenUp
from esprobe.results.notes import (
    DifferentModels,
    GreedyRepeated,
    MixedScorers,
    PairNote,
    ProblemsLeftOut,
    UnavailableTask,
    UnequalRollouts,
)
from esprobe.results.results import NullResult


def pair_note(note: PairNote) -> str:
    """What is unusual about a comparison, without a full stop."""
    match note:
        case ProblemsLeftOut(label, problems):
            return f"{problems} problems of {label} are left out, because the other one does not have them"
        case GreedyRepeated():
            return "a greedy answer repeated is the same answer, so its pass@k is that of k = 1 at every k"
        case UnequalRollouts():
            return (
                "the two have different numbers of rollouts: differences are at equal k, but the solved sets are not "
                "at equal n"
            )
        case DifferentModels(a, b):
            return f"different models: {' and '.join(short_names([a, b]).values())}"
        case MixedScorers():
            return mixed_scorers_note(note)


def mixed_scorers_note(mixed: MixedScorers) -> str:
    """That verdicts come from several scorers and what to do, without a full stop."""
    scorers = "; ".join(f"{label}: {' and '.join(names)}" for label, names in mixed.by_label)
    names = {name for _, scorers_of in mixed.by_label for name in scorers_of}
    plain = {name.partition(" (source ")[0] for name in names}
    force = " --force" if plain != names else ""  # one name, two sources: nothing would be done without it
    what = f"--scorer {min(plain)}" if len(plain) == 1 else "--scorer NAME"
    name_one = "make them all of one" if len(plain) == 1 else "name one to make them all of one"
    return (
        f"verdicts are of several scorers ({scorers}), so a gap may come from that; {name_one}: "
        f"esprobe rescore {what}{force} --write"
    )


def null_description(null: NullResult) -> str:
    """How guesses are drawn, and over which problems."""
    problems = null.curve.points[0].problems if null.curve.points else 0
    left_out = f"; not worked out for {null.left_out} more" if null.left_out else ""
    return f"{null.definition}; over {count(problems)} problems{left_out}"


def given_up_note(given_up: SeedsGivenUp) -> str:
    """That seeds will not be drawn and why, without a full stop."""
    return (
        f"{plural(given_up.seeds, 'seed')} given up (--give-up-broken): of the first perturbations "
        f"{100 * given_up.cut_off:.1f} % of the completions were cut off and none was correct"
    )


def unavailable_task(task: UnavailableTask) -> str:
    """That a task could not be loaded or used, and what is missing without it: a sentence."""
    if task.name == FOREIGN:
        return sentence(
            "these rollouts were imported without a task: no random-guessing curve, and answers are compared by their "
            "text; import them again with --task and another --label to change that"
        )
    if task.reason is None:
        why, fix = "is not installed here", "; install the package that provides it to change that"
    else:
        why, fix = f"cannot be used here ({task.reason})", ""
    null = "random guessing is as stored when it was sampled" if task.has_null else "no random-guessing curve"
    return sentence(f"task {task.name} {why}: {null}, and answers are compared by their text{fix}")
