"""Which problem of a data set a line of a file is about: by its content where the line has it, else by its index."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from esprobe.errors import DataError
from esprobe.maintenance.import_forms import PROBLEM_KEYS
from esprobe.maintenance.imported_rows import NamedProblem, given_problem
from esprobe.spec import Problem
from esprobe.store.storable import storable
from esprobe.tasks import ContentKeyed, DataSet, Task

_Places = Mapping[str, list[int]]
"""Indices of the problems with a content."""


class ProblemFinder:
    """Finds the problems of lines in a data set; a ``NameProblem``.

    Content outranks the index, which other tools may count from 1 or within a selection; the index only chooses between
    problems of the same content.
    """

    def __init__(self, task: Task, data: DataSet) -> None:
        self._task = task
        self._data = data

    def __call__(self, fields: Mapping[str, Any]) -> NamedProblem:
        """The index of a line's problem.

        Raises:
            ValueError: the data set has no such problem, or several.
        """
        index = fields.get("problem")
        index = None if isinstance(index, bool) or not isinstance(index, int) else index
        for content, places in self._contents(fields, index):
            return NamedProblem(self._only(content, places, index), by_content=True)
        named = given_problem(fields)
        if not isinstance(named.problem, int) or named.problem >= len(self._data.problems):
            raise ValueError(
                f"refers to problem {str(named.problem)[:40]!r}, but {self._data.source} has the indices 0 to "
                f"{len(self._data.problems) - 1} (the first problem is 0); use the right data with --data, or leave "
                f"out --task"
            )
        return named

    def _contents(self, fields: Mapping[str, Any], index: int | None) -> Iterator[tuple[str, list[int]]]:
        """What a line says of its problem, the most telling first, and the problems of which that is true."""
        if (key := self._key(fields)) is not None:
            yield key, self._by_key.get(key, [])
        # Beside an index a prompt is no content: it has the wording of the tool that wrote it.
        names = PROBLEM_KEYS if index is None else tuple(name for name in PROBLEM_KEYS if name != "prompt")
        text = next((fields[name] for name in names if isinstance(fields.get(name), str)), None)
        if text is not None:
            yield text, self._by_text.get(_plain(text), [])

    def _only(self, content: str, places: list[int], index: int | None) -> int:
        if index in places:
            return index
        if len(places) == 1:
            return places[0]
        if not places:
            raise ValueError(
                f"is about a problem ({_short(content)}) that {self._data.source} does not hold; use the right data "
                f"with --data, or leave out --task"
            )
        among = ", ".join(map(str, places[:5])) + (", ..." if len(places) > 5 else "")
        raise ValueError(
            f"is about a problem ({_short(content)}) that {self._data.source} holds {len(places)} times, at the "
            f'indices {among}; add the right one as "problem"'
        )

    def _key(self, fields: Mapping[str, Any]) -> str | None:
        if not isinstance(self._task, ContentKeyed):
            return None
        try:
            return self._task.content_key(fields)
        except DataError as err:
            raise ValueError(f"does not describe a problem of {self._task.name}: {err}") from err

    @cached_property
    def _by_key(self) -> _Places:
        found: dict[str, list[int]] = {}
        for problem in self._data.problems:
            if (key := self._key(problem.inputs)) is not None:
                found.setdefault(key, []).append(problem.index)
        return found

    @cached_property
    def _by_text(self) -> _Places:
        found: dict[str, list[int]] = {}
        for problem in self._data.problems:
            for text in {_plain(text) for text in self._texts(problem)}:
                found.setdefault(text, []).append(problem.index)
        return found

    def _texts(self, problem: Problem) -> Iterator[str]:
        """What a line may call a problem: the prompt without its system message, in each style, and its own text."""
        for style in self._task.prompts:
            try:
                prompt = self._task.prompt(problem, style)
            except DataError:  # this problem lacks what the style needs
                continue
            yield from (content for role, content in prompt.messages if role != "system")
            if not prompt.messages:
                yield prompt.assistant_prefix
        yield from (problem.inputs[name] for name in PROBLEM_KEYS if isinstance(problem.inputs.get(name), str))


def _plain(text: str) -> str:
    return storable(text).strip()


def _short(content: str) -> str:
    return repr(content if len(content) <= 60 else f"{content[:57]}...")
