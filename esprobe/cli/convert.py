"""``convert``: weights of another tool, or a LoRA adapter, and their base as an ordinary checkpoint folder."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="A .pth, .pt, .bin or .safetensors file, a folder of them, or the folder of a LoRA adapter (peft).",
            metavar="CKPT",
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write; it must be empty or not exist.")],
    base: Annotated[
        str,
        typer.Option(
            "--base", help="The checkpoint that it was trained from: a folder, hub id, or 'tiny'.", metavar="MODEL"
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Write it even if its values are not like the base's.")
    ] = False,
) -> None:
    """Turn a .pth of vLLM's fused names, or a LoRA adapter, into a checkpoint folder; what does not fit is refused."""
    from esprobe.engines import TRANSFORMERS, engine_class

    engine_class(TRANSFORMERS.name)  # says what to install where torch is missing
    from esprobe.doctor import refuse
    from esprobe.engines.checkpoint import find_checkpoint
    from esprobe.engines.convert import convert as convert_checkpoint
    from esprobe.safe_text import plain

    checkpoint = find_checkpoint(base)
    refuse(checkpoint)
    made = convert_checkpoint(source, checkpoint, out, force=force)
    typer.echo(plain(f"{out}: {made.tensors} tensors in {made.dtype}, from"))
    for path, digest in made.sha256.items():
        typer.echo(plain(f"  {path} (SHA-256 {digest[:16]})"))
    if made.trained_on:
        typer.echo(plain(f"merged into {base}; the adapter says that it was trained on {made.trained_on}"))
    if made.left_out:
        typer.echo(plain(f"left out, no weights: {', '.join(made.left_out)}"))
    for name, rows in made.padding.items():
        typer.echo(plain(f"left out, padding of the vocabulary: {rows} rows of {name}"))
    if made.changed:
        far = made.furthest
        typer.echo(
            plain(
                f"{made.changed} of them differ from {base}; largest relative change of a matrix {far.relative:.2g} "
                f"({far.name})"
            )
        )
    else:
        typer.echo(plain(f"none differs from {base}: it is the same model"))
    for one in made.unlike:
        typer.echo(plain(f"warning: {one}"), err=True)
    typer.echo(f"fingerprint: {find_checkpoint(str(out)).fingerprint}")
    quoted = shlex.quote(plain(str(out)))
    typer.echo(f"next: esprobe doctor --model {quoted}")
