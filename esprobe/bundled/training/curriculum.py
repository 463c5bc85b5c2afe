"""Which problems the bundled model is validated and trained on.

Owns the stream of training problems and what is kept out of it. Does not know tokens or weights, and imports
neither torch nor transformers, so that a test can replay it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from esprobe.spec import digest_of
from esprobe.tasks.countdown.data import read_rows
from esprobe.tasks.countdown.generate import Solvable, candidates, distinct, generated_rows
from esprobe.tasks.countdown.rows import key_of

STREAM_SEED = 7
VALIDATION_COUNT = 512
TRAINING_COUNT = 65_536


@dataclass(frozen=True)
class Curriculum:
    """Disjoint problems, none of them excluded.

    Attributes:
        validation: problems that training never sees, to measure it by.
        training: problems to learn from, in the order of the stream.
        excluded: digest of each excluded set of keys, by name.
    """

    validation: tuple[Solvable, ...]
    training: tuple[Solvable, ...]
    excluded: dict[str, str]

    @property
    def training_digest(self) -> str:
        """SHA-256 over the training problems' keys, in order."""
        return digest_of([solvable.key for solvable in self.training])


def generated_keys() -> list[str]:
    """Keys of the data set "generated", always excluded."""
    return [key_of(row.numbers, row.target) for row in generated_rows()]


def file_keys(path: Path) -> list[str]:
    """Keys of a data file's problems."""
    return [key_of(row.numbers, row.target) for row in read_rows(path)]


def curriculum(files: Sequence[Path] = ()) -> Curriculum:
    """The problems of the shipped recipe, without those of "generated" and of ``files``."""
    sets = {"generated": generated_keys()} | {path.name: file_keys(path) for path in files}
    excluded = {key for keys in sets.values() for key in keys}
    fresh = distinct(candidates(STREAM_SEED), excluded)
    return Curriculum(
        validation=tuple(islice(fresh, VALIDATION_COUNT)),
        training=tuple(islice(fresh, TRAINING_COUNT)),
        excluded={name: digest_of(sorted(keys)) for name, keys in sets.items()},
    )
