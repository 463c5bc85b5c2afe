"""Reading the keys of a task file, so that every mistake is one line: file, key, value, and what is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from esprobe.errors import DataError

_SHOWN = 60


@dataclass(frozen=True)
class Key:
    """One value of a task file, and where it stands.

    Attributes:
        file: the task file.
        name: the key with those above it, such as "prompt.user"; empty for the whole file.
        value: what the file has there; None if the key is missing or empty.
        is_there: whether the file has the key.
    """

    file: Path
    name: str
    value: Any
    is_there: bool = True

    def wrong(self, allowed: str) -> NoReturn:
        """Raise the error that this value is not one of those allowed."""
        raise DataError(f"task file {self.file}: {self.name} is {shown(self.value)}; {allowed}")

    def keys(self, allowed: Sequence[str]) -> dict[str, "Key"]:
        """The keys of a mapping, all of ``allowed``; those that are missing have None as value.

        Raises:
            DataError: the value is not a mapping, or has other keys.
        """
        if not isinstance(self.value, dict):
            self.wrong(f"it must be a mapping of: {', '.join(allowed)}")
        for name in self.value:
            if name not in allowed:
                where = f"{self.name} has the key {name}" if self.name else f"it has the key {name}"
                close = did_you_mean(str(name), allowed)
                is_unquoted = self.name and len(self.value) == 1 and self.value[name] is None
                quotes = "; a text that begins with { needs quotes" if is_unquoted else ""
                raise DataError(
                    f"task file {self.file}: {where}, which does not exist{close}; allowed: "
                    f"{', '.join(allowed)}{quotes}"
                )
        return {name: Key(self.file, self._below(name), self.value.get(name), name in self.value) for name in allowed}

    def text(self) -> str | None:
        """A text; None where the key is missing.

        Raises:
            DataError: the value is a list or a mapping.
        """
        if self.value is None or isinstance(self.value, str):
            return self.value
        quotes = ", and one that begins with { needs quotes" if isinstance(self.value, dict) else ""
        self.wrong(f"it must be a text{quotes}")

    def required(self, example: str, needed_by: str = "every task") -> "Key":
        """This key, which must be there.

        Args:
            example: what to write, for the message.
            needed_by: what cannot do without it, for the message.

        Raises:
            DataError: it is missing or empty.
        """
        if not self.is_there:
            raise DataError(f"task file {self.file} has no {self.name}, and {needed_by} needs it; add {example}")
        if self.value is None or self.value == "":
            raise DataError(f"task file {self.file}: {self.name} is empty, and {needed_by} needs it; add {example}")
        return self

    def slice(self) -> tuple[int, int] | None:
        """(first, stop) of FIRST:STOP; None where the key is missing.

        Raises:
            DataError: the value is not such a slice.
        """
        text = self.text()
        if text is None:
            return None
        first, colon, stop = text.partition(":")
        if not (colon and _is_count(first) and _is_count(stop) and int(first) < int(stop)):
            self.wrong("it must be FIRST:STOP with FIRST < STOP, such as 0:200")
        return int(first), int(stop)

    def count(self) -> int | None:
        """A positive integer; None where the key is missing.

        Raises:
            DataError: the value is not one.
        """
        text = self.text()
        if text is None:
            return None
        if not _is_count(text) or int(text) == 0:
            self.wrong("it must be a positive integer")
        return int(text)

    def items(self) -> list["Key"] | None:
        """The elements of a list; None if the value is not a list."""
        if not isinstance(self.value, list):
            return None
        return [Key(self.file, f"{self.name}[{number}]", value) for number, value in enumerate(self.value)]

    def kind(self, bare: Sequence[str], with_value: Sequence[str]) -> tuple[str, "Key"]:
        """(kind, its value) of a key that is a word, such as ``boxed``, or one pair, such as ``{after: "####"}``.

        Args:
            bare: kinds that may be a word by themselves.
            with_value: kinds that stand in a pair with a value.

        Raises:
            DataError: it is neither, or names no such kind.
        """
        allowed = "allowed: " + ", ".join([*bare, *(f"{{{kind}: ...}}" for kind in with_value)])
        if isinstance(self.value, str):
            if self.value in bare:
                return self.value, Key(self.file, self.name, None)
            close = did_you_mean(self.value, [*bare, *with_value])
            self.wrong(f"{close.strip(', ')}; {allowed}" if close else allowed)
        names = list(map(str, self.value)) if isinstance(self.value, dict) else []
        kinds = [kind for kind in with_value if kind in names]
        if len(kinds) > 1:
            self.wrong(f"only one of {' and '.join(kinds)} is allowed; remove the others")
        if not kinds:
            if names and names[0] in bare:
                self.wrong(f"{names[0]} takes no value, so write {self.name}: {names[0]}; {allowed}")
            close = did_you_mean(names[0], [*bare, *with_value]) if names else ""
            self.wrong(f"{close.strip(', ')}; {allowed}" if close else allowed)
        kind = kinds[0]
        return kind, self.keys(kinds)[kind].required(f"a value, as in {{{kind}: ...}}", f"{self.name}: {kind}")

    def _below(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name


def did_you_mean(name: str, allowed: Sequence[str]) -> str:
    """A comma and the question "did you mean X?" if one of the allowed names is close, else nothing."""
    close = get_close_matches(name.lower(), allowed, n=1)
    return f", did you mean {close[0]}?" if close else ""


def shown(value: Any) -> str:
    """A value for an error message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18
