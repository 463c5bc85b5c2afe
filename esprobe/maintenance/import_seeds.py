"""The seeds of an import's rows, of which a problem has each once."""

from bisect import bisect_right
from pathlib import Path

from esprobe.errors import DataError
from esprobe.maintenance.import_origin import SharedNoise, check_same_condition, shared_noise
from esprobe.maintenance.imported_rows import ImportedRow
from esprobe.records import Extent

NO_PLAN = Extent(0, 0, 0, 0, 0)
"""The extent recorded if the rollouts do not fill a rectangle of problems and seeds."""


class SeedSet:
    """A set of seeds, stored as runs of consecutive ones: usually one run per problem, whatever its length."""

    def __init__(self) -> None:
        self._runs: list[list[int]] = []
        """[first, last] of each run, ascending, with gaps between them."""

    def add(self, seed: int) -> bool:
        """Add a seed; returns whether it was new."""
        runs = self._runs
        place = bisect_right(runs, seed, key=lambda run: run[0])
        if place and seed <= runs[place - 1][1]:
            return False
        follows = place > 0 and runs[place - 1][1] == seed - 1
        precedes = place < len(runs) and runs[place][0] == seed + 1
        if follows and precedes:
            runs[place - 1][1] = runs.pop(place)[1]
        elif follows:
            runs[place - 1][1] = seed
        elif precedes:
            runs[place][0] = seed
        else:
            runs.insert(place, [seed, seed])
        return True


class RowSeeds:
    """The seeds of a file's rows, in order: a row without a seed gets the next one of its problem."""

    def __init__(self) -> None:
        self._next: dict[int | str, int] = {}
        self._span: dict[int | str, tuple[int, int, int]] = {}
        self._seeds: dict[int | str, SeedSet] = {}
        self._first: ImportedRow | None = None
        self.noise: SharedNoise | None = None
        """The perturbation of all rows checked so far."""

    def check(self, path: Path, row: ImportedRow) -> None:
        """Refuse a row that cannot belong to the same condition as the rows before it.

        Raises:
            DataError: an earlier row has the same problem and seed, its condition differs from the first row's, or it
                was sampled under a perturbation that it does not describe.
        """
        if self._first is None:
            self._first = row
            self.noise = shared_noise(path, row)
        check_same_condition(path, row, self._first)
        if self.noise is not None and row.seed is None:
            raise DataError(
                f"{row.place} of {path} has no seed, which names the perturbed model that it was sampled from; add it"
            )
        seed, seeds = self.seed(row), self._seeds.setdefault(row.problem, SeedSet())
        if not seeds.add(seed):
            raise DataError(
                f"{row.place} of {path} repeats seed {seed} of problem {str(row.problem)[:40]!r}, and a problem "
                f"has one rollout per seed; give each its own seed, or none. If the file holds several conditions, "
                f"import each separately (esprobe export --condition selects one)"
            )

    def seed(self, row: ImportedRow) -> int:
        """The seed of the next row."""
        seed = self._next.get(row.problem, 0) if row.seed is None else row.seed
        self._next[row.problem] = seed + 1
        first, last, count = self._span.get(row.problem, (seed, seed, 0))
        self._span[row.problem] = (min(first, seed), max(last, seed), count + 1)
        return seed

    def extent(self, indices: dict[int | str, int]) -> Extent:
        """The rectangle of problems and seeds that the rows fill; ``NO_PLAN`` if they fill none."""
        spans, first, stop = set(self._span.values()), min(indices.values()), max(indices.values()) + 1
        seed, last, count = next(iter(spans))
        if len(spans) > 1 or last + 1 - seed != count or stop - first != len(indices):
            return NO_PLAN
        return Extent(first, stop, seed, count, len(indices))
