"""A comparison by a function of the user's: ``compare: {python: file.py:function}``.

The function is called as ``function(answer, gold, row)`` with two texts and the row, and returns whether the answer is
right. What it raises is not caught here: the caller names the task and the problem.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esprobe.errors import DataError
from esprobe.tasks.files.choices import Options
from esprobe.tasks.files.keys import Key


@dataclass(frozen=True)
class Python:
    """A user's function as a comparison.

    Attributes:
        name: the function's name.
        digest: SHA-256 of its file.
        function: the function.
    """

    name: str
    digest: str
    function: Callable[[str, str, Mapping[str, Any]], object]

    @property
    def spec(self) -> Sequence[Any]:
        """What decides a verdict."""
        return ("python", self.name, self.digest)

    def read(self, text: str, options: Options | None) -> str | None:
        """The answer as it is written."""
        return text.strip()

    def equal(self, gold: str, answer: str, inputs: Mapping[str, Any]) -> bool:
        """What the function says.

        Raises:
            TypeError: it returns neither True nor False.
        """
        verdict = self.function(answer, gold, inputs)
        if not isinstance(verdict, bool):
            raise TypeError(f"{self.name} must return True or False, got {verdict!r}")
        return verdict

    def accepts(self, gold: str, inputs: Mapping[str, Any]) -> bool:
        """What the function says of the gold answer."""
        return self.equal(gold, gold, inputs)


def load_comparison(key: Key) -> Python:
    """The function that ``file.py:function`` names; the file's path is relative to the task file.

    Raises:
        DataError: the file cannot be run, or has no such function.
    """
    path, colon, name = (key.text() or "").rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        key.wrong("it must be FILE.py:FUNCTION, such as judge.py:is_right")
    file = key.file.parent / Path(path)
    try:
        source = file.read_bytes()
    except OSError as error:
        key.wrong(f"{file} cannot be read ({error.strerror}); the path is relative to the task file")
    digest = hashlib.sha256(source).hexdigest()
    spec = importlib.util.spec_from_file_location(f"esprobe_comparison_{digest[:12]}", file)
    if spec is None or spec.loader is None:
        key.wrong(f"{file} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file must not end the command without a word
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"task file {key.file}: {key.name} runs {file}, which raised {reason}; fix it there") from error
    function = getattr(module, name, None)
    if not callable(function):
        key.wrong(f"{file} has no function {name}; add one: def {name}(answer, gold, row)")
    return Python(name, digest, function)
