"""A YAML file as mappings, lists and texts.

Every scalar but null stays text: YAML 1.1 reads the slice ``10:30`` as 630 and the answer ``no`` as false.
"""

import re
from pathlib import Path
from typing import Any

from esprobe.errors import DataError, LibraryError

_ESCAPED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|\t(?:ext|imes|heta|frac|an)\b")
"""What LaTeX such as ``\\boxed``, ``\\frac`` or ``\\times`` becomes in double quotes."""

_SHOWN = 60


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a task file.

    Raises:
        DataError: the file cannot be read, is not YAML, has a key twice, or is not a mapping.
        LibraryError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise LibraryError(
            f"task file {path} needs PyYAML, which is not installed; install it with: pip install pyyaml"
        ) from None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"task file {path} is not UTF-8 (line {number}, byte 0x{error.object[error.start]:02x}); save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"task file {path} cannot be read ({reason}); check --task") from None
    try:
        values = yaml.load(text, _loader(yaml.SafeLoader, path))
    except yaml.YAMLError as error:
        reason, line = " ".join(str(error).split()), ""
        if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark) is not None:
            if error.problem == "found unexpected end of stream" and error.context_mark is not None:
                mark = error.context_mark  # where the quote was opened, not the end of the file
            problem = error.problem or ""
            if problem.startswith("but found"):
                problem = f"{error.context}, {problem}"
            reason = f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
            line = [*text.split("\n"), ""][mark.line]
        elif isinstance(error, yaml.reader.ReaderError):
            reason = f"line {text.count(chr(10), 0, error.position) + 1}: {error.reason}"
        raise DataError(f"task file {path} is not valid YAML ({reason}); {_hint(reason, line)}") from None
    if not isinstance(values, dict):
        raise DataError(f"task file {path} must be a mapping of keys such as 'name: my-task'; see docs/task-files.md")
    return values


def _hint(reason: str, line: str) -> str:
    """What to do about a mistake in a line; the parser's words say what it is."""
    if "escape" in reason:
        return "in double quotes a backslash begins an escape: put the text in single quotes, or write a path with /"
    if r"'\t'" in reason:
        return "indent with spaces, not with tabs"
    if "cannot start any token" in reason or "alias" in reason or "tag" in reason:
        return "a text that begins with % @ ` * & or ! needs quotes"
    if "not allowed here" in reason or "{" in line.replace('"{', "").replace("'{", ""):
        return 'texts that hold { or a colon need quotes: user: "{q}"'
    if '"' in line or "'" in line or "end of stream" in reason:
        return "close each quote in its line and the one before; in single quotes a ' is written twice"
    return "look at that line and the one before"


def _loader(base: Any, path: Path) -> Any:
    kept = {
        first: [(tag, form) for tag, form in forms if tag.endswith((":null", ":merge"))]
        for first, forms in base.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self: Any, node: Any, deep: bool = False) -> Any:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.id != "scalar":
                raise DataError(f"task file {path}, line {line}: a key must be a word; quote texts that begin with {{")
            if key.value in lines:
                raise DataError(
                    f"task file {path} has the key {key.value} twice, in lines {lines[key.value]} and {line}; "
                    "remove one of them"
                )
            lines[key.value] = line
        return base.construct_mapping(self, node, deep=deep)

    def construct_scalar(self: Any, node: Any) -> Any:
        text = base.construct_scalar(self, node)
        if node.style == '"' and (found := _ESCAPED.search(text)):
            raise DataError(
                f"task file {path}, line {node.start_mark.line + 1}: {text[:_SHOWN]!r} holds the control character "
                f"{found[0][0]!r}, because a backslash in double quotes begins an escape; write it twice (\\\\boxed), "
                f"or put the text in single quotes"
            )
        return text

    methods = {"construct_mapping": construct_mapping, "construct_scalar": construct_scalar}
    return type("_TextLoader", (base,), {"yaml_implicit_resolvers": kept, **methods})
