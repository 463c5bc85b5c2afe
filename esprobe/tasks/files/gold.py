"""The right answers of a row: the key ``answer``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from esprobe.errors import DataError
from esprobe.tasks.files.choices import Options
from esprobe.tasks.files.extraction import Extraction, extraction
from esprobe.tasks.files.keys import Key, shown
from esprobe.tasks.files.template import Templates, templates


@dataclass(frozen=True)
class Gold:
    """Where a row holds its right answer.

    Attributes:
        text: the template.
        extraction: finds the answer in the template's text; None if all of it is the answer. A text in which nothing
            is found is an answer as a whole.
    """

    text: Templates
    extraction: Extraction | None

    @property
    def spec(self) -> Sequence[Any]:
        """What decides the result, for digests."""
        return (self.text.spec, self.extraction.spec if self.extraction else None)

    def answers(self, row: Mapping[str, Any], options: Options | None, place: str) -> tuple[str, ...]:
        """The right answers of a row: several if its template is one column with a list of texts.

        Raises:
            DataError: the row lacks a column, it is empty, or finding the answer in it takes too long.
        """
        chosen = self.text.choose(row)
        value = row.get(chosen.columns[0]) if len(chosen.columns) == 1 and chosen.texts == ("", "") else None
        if isinstance(value, list) and value and all(isinstance(one, str | int | float) for one in value):
            return tuple(self._answer(str(one), options, place) for one in value)
        return (self._answer(chosen.fill(row, place), options, place),)

    def _answer(self, text: str, options: Options | None, place: str) -> str:
        try:
            found = self.extraction.find(text, options) if self.extraction else None
        except TimeoutError:
            raise DataError(
                f"{place}: answer.extract searches its gold text {shown(text)} for too long; write a regular "
                f"expression without nested repeats such as (a+)+"
            ) from None
        return found or text.strip()


def gold(key: Key) -> Gold:
    """The gold answer that a key of a task file describes.

    Raises:
        DataError: it is neither a template, nor {text: TEMPLATE, extract: KIND}.
    """
    if not isinstance(key.value, dict):
        text = templates(key)
        assert text is not None  # required
        return Gold(text, None)
    held = key.keys(("text", "extract"))
    text = templates(held["text"].required('text: "{answer}"', "answer with other keys"))
    assert text is not None  # required
    return Gold(text, extraction(held["extract"].required('extract: {after: "####"}', "answer with other keys")))
