"""How often guessing is right, as a database holds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Guess:
    """The chances of guessing the problems of one data set.

    Attributes:
        task: name of the task.
        data_digest: of its data.
        label: how tables name the guessing.
        definition: how guesses are drawn, in one sentence.
        chances: by problem index, the chance that one guess is right; None where it is not known.
        first: by problem index, the chance of the first guess, where it is another one.
    """

    task: str
    data_digest: str
    label: str
    definition: str
    chances: Mapping[int, float | None]
    first: Mapping[int, float] = field(default_factory=dict)
