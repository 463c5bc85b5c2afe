"""Options that several commands share, written once: as the fields of a class that a command has as a parameter."""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as Typer shall see it: in place of a parameter whose type is a dataclass, that class's fields.

    A field is an option like any other, by its annotation and its default; the command gets them as one value.
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
