"""Registers the commands, and turns esprobe's own errors into one line and an exit code."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Any

import typer

from esprobe import __version__
from esprobe.cli.stdout import guard_standard_output
from esprobe.errors import EsprobeError, PathError, StoppedError, UsageError
from esprobe.safe_text import plain

COMMANDS = {
    "sample-temp": "sample:sample_temp",
    "sample-perturb": "sample:sample_perturb",
    "train-es": "train_es:train_es",
    "plan": "plan:app",
    "scan": "scan:scan",
    "passk": "passk:passk",
    "compare": "compare:compare",
    "report": "report:report",
    "status": "status:status",
    "verify": "verify:verify",
    "salvage": "salvage:salvage",
    "backup": "backup:backup",
    "merge": "merge:merge",
    "export": "export:export",
    "import": "import_:import_",
    "doctor": "doctor:doctor",
    "save-model": "save_model:save_model",
    "show": "show:show",
    "rescore": "rescore:rescore",
    "remove": "remove:remove",
    "data": "data:app",
}
"""Command -> module and attribute of its function, or of its group of commands; in the order of the help."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"esprobe {__version__}")
        raise typer.Exit


def esprobe(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Is the gain made by training, or was it already there, within reach of mere sampling?"""


def make_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with some of its commands: importing all of them takes longer than a short command runs."""
    app = typer.Typer(
        name="esprobe",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    )
    app.callback()(esprobe)
    for name in names:
        module, _, attribute = COMMANDS[name].partition(":")
        command: Any = getattr(import_module(f"esprobe.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _check_working_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise PathError(
            "the working folder was deleted, so no path can be found from it; cd to a folder that exists and run the "
            "same command again"
        ) from None


def main() -> None:
    """Entry point of the ``esprobe`` script. Only an EsprobeError is caught: any other exception is a bug."""
    try:
        guard_standard_output()
        _check_working_folder()
        for word in sys.argv[1:]:
            if not word.isascii() and word != word.encode(errors="replace").decode():
                raise UsageError(f"the argument {word!r} is not UTF-8, so it cannot be recorded; rename the file")
        named = sys.argv[1:2]
        make_app(named if named and named[0] in COMMANDS else COMMANDS)()
    except EsprobeError as error:
        prefix = "" if isinstance(error, StoppedError) else "error: "
        lines = [f"{prefix}{error}", *(f"- {line}" for line in getattr(error, "violations", ()))]
        sys.stderr.write("".join(f"{plain(line.replace(chr(10), ' '))}\n" for line in lines))
        sys.exit(error.exit_code)
