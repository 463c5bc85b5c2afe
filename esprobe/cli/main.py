"""Registers the commands, and turns esprobe's own errors into one line and an exit code."""

import sys
from typing import Annotated

import typer

from esprobe import __version__
from esprobe.cli import (
    backup,
    compare,
    data,
    doctor,
    export,
    import_,
    merge,
    passk,
    plan,
    report,
    rescore,
    sample,
    save_model,
    scan,
    show,
    status,
    verify,
)
from esprobe.cli.stdout import guard_standard_output
from esprobe.errors import EsprobeError, StoppedError, UsageError


def _printable(message: str) -> str:
    """One line without control characters, which file names and model output may contain."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in message.replace("\n", " "))


app = typer.Typer(
    name="esprobe",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"esprobe {__version__}")
        raise typer.Exit


@app.callback()
def esprobe(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Is the gain made by training, or was it already there, within reach of mere sampling?"""


app.command("sample-temp")(sample.sample_temp)
app.command("sample-perturb")(sample.sample_perturb)
app.command("plan")(plan.plan)
app.command("scan")(scan.scan)
app.command("passk")(passk.passk)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("status")(status.status)
app.command("verify")(verify.verify)
app.command("backup")(backup.backup)
app.command("merge")(merge.merge)
app.command("export")(export.export)
app.command("import")(import_.import_)
app.command("doctor")(doctor.doctor)
app.command("save-model")(save_model.save_model)
app.command("show")(show.show)
app.command("rescore")(rescore.rescore)
app.add_typer(data.app, name="data")


def main() -> None:
    """Entry point of the ``esprobe`` script. Anything but an EsprobeError is a bug, and surfaces as a traceback."""
    try:
        guard_standard_output()
        for word in sys.argv[1:]:
            if not word.isascii() and word != word.encode(errors="replace").decode():
                raise UsageError(f"the argument {word!r} is not UTF-8, so it cannot be recorded; rename the file")
        app()
    except EsprobeError as error:
        prefix = "" if isinstance(error, StoppedError) else "error: "
        sys.stderr.write(f"{prefix}{_printable(str(error))}\n")
        sys.exit(error.exit_code)
