"""Groups of options that several commands share: dataclasses whose fields are options."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

from typer.utils import get_params_from_function


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each parameter whose type is a dataclass replaced by that class's fields.

    A field becomes an option by its annotation and its default; the command receives the group as one value.
    """
    hints = get_type_hints(command, include_extras=True)
    shown: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not (inspect.isclass(kind) and is_dataclass(kind)):
            shown.append(parameter.replace(annotation=kind))
            continue
        groups[name] = kind
        own = get_type_hints(kind, include_extras=True)
        shown += [
            inspect.Parameter(field.name, parameter.KEYWORD_ONLY, default=field.default, annotation=own[field.name])
            for field in fields(kind)
        ]

    @wraps(command)
    def called(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    called.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return called


def as_typed(command: Callable[..., None], values: Mapping[str, Any], leave_out: Collection[str]) -> list[str]:
    """The words that give ``command`` those ``values`` that differ from its defaults.

    Args:
        command: a command as Typer sees it.
        values: by parameter name; names that the command does not have are ignored.
        leave_out: parameters that are not written.
    """
    words: list[str] = []
    for name, parameter in get_params_from_function(command).items():
        info = parameter.default
        if name in values and name not in leave_out and values[name] != info.default:
            words += _words(max(info.param_decls, key=len), values[name])
    return words


def _words(option: str, value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        on, _, off = option.partition("/")
        yield on if value else off
        return
    for one in value if isinstance(value, list) else [value]:
        yield from (option, str(one))
