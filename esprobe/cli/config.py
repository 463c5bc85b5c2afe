"""``--config FILE.yaml``: a command's options from a file; the command line and the environment override it."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from esprobe.errors import DataError, UsageError

_ARMS = ("sample-temp", "sample-perturb")
_OF_BOTH = {"temperature", "t", "top-p", "top-k", "sigma", "noise", "scope", "give-up-broken"}


def _apply(context: typer.Context, path: Path | None) -> Path | None:
    if path is None or context.resilient_parsing:
        return path
    values = _read(path)
    names = _parameter_names(context)
    _check_keys(context, path, values, names)
    key_of: dict[str, str] = {}
    for key in map(str, values):
        other = key_of.setdefault(names[_normalised(key)], key)
        if other != key:
            raise DataError(
                f"the configuration {path} sets {other} and {key}, which are the same option; remove one of them"
            )
    chosen = {names[_normalised(key)]: value for key, value in values.items() if value is not None}
    parameters = {parameter.name: parameter for parameter in context.command.params}
    for name, value in chosen.items():
        chosen[name] = _checked(context, f"the configuration {path} sets {key_of[name]} to", parameters[name], value)
    context.default_map = {**(context.default_map or {}), **chosen}
    return path


def _normalised(key: Any) -> str:
    return str(key).replace("_", "-")


def _parameter_names(context: typer.Context) -> dict[str, str]:
    """Parameter names by the keys that a file may use: an option's long name, with dashes or underscores."""
    names: dict[str, str] = {}
    for parameter in context.command.params:
        for spelled in (parameter.name or "", *(o.removeprefix("--") for o in parameter.opts)):
            names[_normalised(spelled)] = parameter.name or ""
    for hidden in ("config", "help"):
        names.pop(hidden, None)
    return names


def _check_keys(context: typer.Context, path: Path, values: dict[Any, Any], names: dict[str, str]) -> None:
    unknown = [str(key) for key in values if _normalised(key) not in names]
    if unknown:
        options = sorted({max(parameter.opts, key=len).removeprefix("--") for parameter in context.command.params})
        options = [option for option in options if option not in ("config", "help")]
        raise UsageError(
            f"{path} sets {', '.join(unknown)}, which {context.info_name} does not have as an option; "
            f"{_meant(str(context.info_name), path, unknown, options)}"
        )


def _meant(command: str, path: Path, unknown: Sequence[str], options: Sequence[str]) -> str:
    """What to do about keys that a command does not have."""
    if command in _ARMS and {_normalised(key) for key in unknown} <= _OF_BOTH:
        return f"both spaces are sampled by: esprobe sample --config {path}"
    close = [near for key in unknown for near in get_close_matches(_normalised(key), options, 1)]
    if close:
        return f"did you mean {', '.join(dict.fromkeys(close))}?"
    return f"its options are: {', '.join(options)}"


def _checked(context: typer.Context, what: str, parameter: Any, written: Any) -> Any:
    """Check a value of the file against its option; the value of a repeatable option becomes a list."""
    repeatable = getattr(parameter, "multiple", False)
    if written == []:
        raise UsageError(f"{what} an empty list, which is no value; give one, or leave the key out for its default")
    value = [written] if repeatable and not isinstance(written, list) else written
    if isinstance(value, list | dict) and not repeatable:
        raise UsageError(f"{what} {value!r}, but that option takes one value; fix it there")
    # Typer would convert False to 0 or "False", which is not what "no" in a file means.
    elements = value if isinstance(value, list) else [value]
    if any(isinstance(one, bool) for one in elements) and not getattr(parameter, "is_flag", False):
        raise UsageError(
            f"{what} {value!r}, but that option is not a switch (YAML reads yes, no, on, off, true and false as "
            f"booleans unless they are quoted); fix it there"
        )
    try:
        parameter.process_value(context, value)
    except typer.BadParameter as err:
        raise UsageError(f"{what} {written!r}, which is not a valid value ({err.message}); fix it there") from err
    return value


def _read(path: Path) -> dict[Any, Any]:
    try:
        import yaml
    except ImportError as err:
        raise UsageError(
            f"--config {path} needs PyYAML, which is not installed; install it with: pip install pyyaml"
        ) from err
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _loader(yaml.SafeLoader, path))
    except OSError as err:
        raise DataError(f"the configuration {path} cannot be read ({err.strerror}); check --config") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        reason = " ".join(str(err).split())
        if isinstance(err, yaml.MarkedYAMLError) and err.problem_mark is not None:
            reason = f"line {err.problem_mark.line + 1}, column {err.problem_mark.column + 1}: {err.problem}"
        raise DataError(f"the configuration {path} is not valid YAML ({reason}); fix it or leave out --config") from err
    if values is None or values == {}:
        raise DataError(
            f"the configuration {path} sets no option (is it empty or all commented out?), and the defaults are a "
            f"whole study; set an option there, such as 'samples: 512', or leave out --config"
        )
    if not isinstance(values, dict):
        raise DataError(f"the configuration {path} must be a mapping from options to values, such as 'samples: 512'")
    return values


def _loader(base: Any, path: Path) -> Any:
    """A YAML loader that refuses repeated keys and leaves numbers as text, which the options parse.

    YAML 1.1 reads the slice 10:30 as the number 630, and PyYAML keeps the last of several equal keys.
    """
    kept = {
        first: [(tag, form) for tag, form in forms if not tag.endswith((":int", ":float"))]
        for first, forms in base.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self: Any, node: Any, deep: bool = False) -> Any:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            name, line = key.value, key.start_mark.line + 1
            if key.id == "scalar" and name in lines:
                raise DataError(
                    f"the configuration {path} sets {name} twice, in lines {lines[name]} and {line}; remove one of them"
                )
            if key.id == "scalar":
                lines[name] = line
        return base.construct_mapping(self, node, deep=deep)

    return type("Loader", (base,), {"yaml_implicit_resolvers": kept, "construct_mapping": construct_mapping})


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=_apply,
        is_eager=True,
        metavar="FILE.yaml",
        help="Read options from a YAML file; the command line overrides it.",
    ),
]
