"""Writes docs/cli.md from the signatures of the commands: ``python docs/make_cli.py``.

Typer's own generator is not used, because its output differs between versions of Typer, so that a test that compares
the page with it would fail after an upgrade.
"""

import inspect
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from typer import Context, Typer
from typer.models import ArgumentInfo, OptionInfo
from typer.utils import get_params_from_function

from esprobe.cli.main import make_app

PAGE = Path(__file__).parent / "cli.md"

INTRODUCTION = """\
# Command line

<!-- Written by docs/make_cli.py; change the commands' help texts instead, then run: python -m nox -s docs -->

`esprobe COMMAND --help` (or `-h`) prints the same text; `esprobe --version` prints the version;
`esprobe --install-completion` installs completion of commands and options for your shell. `python -m esprobe` is the
same as `esprobe`.

Results go to stdout; messages, progress and errors go to stderr. Exit codes: 0 success, 1 an error, 2 an invalid option
or value, 3 all is sampled except rollouts that crashed several workers (see [scaling](scaling.md)), 4 the engine
of a single worker hung, 75 stopped by SIGTERM or SIGUSR1, 130 stopped by Ctrl-C (see [resume](resume.md)), 141 the
reader of its output has closed the pipe (`esprobe show | head`).

## Configuration files

`--config FILE.yaml` reads the options of a sampling command from a YAML mapping. Keys are long option names, with `-`
or `_`:

```yaml
model: Qwen/Qwen2.5-0.5B-Instruct
temperature: [0.4, 0.8]
problems: 200:328
baseline: false
```

The command line overrides environment variables, these override the file, and the file overrides the defaults. A
repeatable option on the command line replaces the whole list in the file. A key that is not an option of the command,
or that is set twice, is an error. Reading such files needs PyYAML, which the extra `hf` installs.
[examples](examples) has complete files.
"""

_VALUES: dict[type, str] = {Path: "PATH", str: "TEXT", int: "N", float: "NUMBER"}


def page() -> str:
    """The whole page."""
    sections = [INTRODUCTION]
    sections += [_section(name, callback) for name, callback in commands(make_app())]
    return "\n".join(sections)


def commands(group: Typer, prefix: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """(name as typed, function) of every command; commands in groups come last."""
    for command in group.registered_commands:
        assert command.name and command.callback
        yield prefix + command.name, command.callback
    for inner in group.registered_groups:
        assert inner.name and inner.typer_instance
        alone = inner.typer_instance.registered_callback  # what the group does without a command of its own
        if alone is not None and alone.callback is not None:
            yield f"{prefix}{inner.name}", alone.callback
        yield from commands(inner.typer_instance, f"{prefix}{inner.name} ")


def _section(name: str, callback: Callable[..., Any]) -> str:
    entries = "".join(f"- {entry}\n" for entry in _entries(callback))
    return f"## esprobe {name}\n\n{inspect.getdoc(callback)}\n\n{entries}"


def _entries(callback: Callable[..., Any]) -> Iterator[str]:
    for parameter in get_params_from_function(callback).values():
        if parameter.annotation is Context:
            continue
        info, kind = parameter.default, _kind(parameter.annotation)
        assert isinstance(info, OptionInfo | ArgumentInfo), parameter
        head = ", ".join(info.param_decls or ()) or parameter.name.upper()
        if kind is not bool and isinstance(info, OptionInfo):
            head += f" {info.metavar or _value(kind)}"
        default = f"Default: {found}." if (found := _default(info.default)) else ""
        environment = f"Environment: `{info.envvar}`." if info.envvar else ""
        yield " ".join(filter(None, [f"`{head}`: {info.help}", default, environment]))


def _kind(annotated: Any) -> Any:
    """The type of one value: that of ``list[int] | None`` is int."""
    if get_origin(annotated) in (Union, UnionType):
        (annotated,) = (given for given in get_args(annotated) if given is not type(None))
    return get_args(annotated)[0] if get_origin(annotated) is list else annotated


def _value(kind: Any) -> str:
    return "|".join(kind) if issubclass(kind, StrEnum) else _VALUES[kind]


def _default(value: Any) -> str:
    if value is None or value is False or value is ...:
        return ""
    if value is True:
        return "on"
    return ", ".join(f"`{given}`" for given in value) if isinstance(value, list) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
