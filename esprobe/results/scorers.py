"""What to say where verdicts that stand side by side were given by different scorers."""

from collections.abc import Mapping, Sequence


def mixed_scorers(scorers: Mapping[str, Sequence[str]]) -> str:
    """A warning in words, without a full stop; "" where all verdicts are of one scorer.

    Args:
        scorers: of each condition, by its label.
    """
    known = {label: names for label, names in scorers.items() if names}
    if len({name for names in known.values() for name in names}) < 2:
        return ""
    told = "; ".join(f"{label}: {' and '.join(names)}" for label, names in known.items())
    return (
        f"verdicts are of several scorers ({told}), so a gap may come from that; name one to make them all of one: "
        f"esprobe rescore --scorer NAME --write"
    )
