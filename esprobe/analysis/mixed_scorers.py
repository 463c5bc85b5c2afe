"""Whether verdicts that stand side by side come from different scorers."""

from collections.abc import Mapping, Sequence

from esprobe.results.notes import MixedScorers


def mixed_scorers(scorers: Mapping[str, Sequence[str]]) -> MixedScorers | None:
    """The scorers of each condition, by its label; None if all verdicts come from one scorer."""
    known = tuple((label, tuple(names)) for label, names in scorers.items() if names)
    return MixedScorers(known) if len({name for _, names in known for name in names}) > 1 else None
