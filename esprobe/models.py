"""Models by name: checkpoints, and those that a training run in a database leads to, ``FILE:RUN@ITERATION``."""

import re
from pathlib import Path

from esprobe.engines import Lineage
from esprobe.errors import ModelError, UsageError
from esprobe.paths import kind_of
from esprobe.store import RolloutStore
from esprobe.store.training import snapshots_of, training_runs, trajectory_of

_TRAINED = re.compile(r"(?P<database>.+):(?P<run>[0-9]{1,9}|[0-9a-f]{8,64})(?:@(?P<iteration>[0-9]{1,9}))?")


_FEWEST_DIGITS = 8
"""Digits of a run's digest that name it; fewer are its number."""


def _beside(database: Path, base: str) -> str:
    """The base's name; a folder or database that is not below the current folder is looked for beside ``database``."""
    there = database.parent / base
    named = _TRAINED.fullmatch(base)
    if named is None:
        return str(there) if kind_of(Path(base)) == "nothing" and kind_of(there) == "folder" else base
    here, beside = Path(named["database"]), database.parent / named["database"]
    return str(there) if kind_of(here) != "file" and kind_of(beside) == "file" else base


def find_lineage(model: str) -> Lineage | None:
    """How the model called ``model`` was trained; None if the name is not that of a trained model.

    ``FILE:RUN@ITERATION`` is the model after ITERATION updates of a run, by its number in the file or the first digits
    of its digest; without @ITERATION, after all of them.

    Raises:
        ModelError: the file has no such run or iteration.
        PathError: a folder on the way to the file may not be entered.
        StoreError: the file cannot be read.
        UsageError: the name has that form, and there is no such file.
    """
    named = _TRAINED.fullmatch(model)
    if named is None or kind_of(Path(model)) != "nothing":
        if ".db:" in model and kind_of(Path(model)) == "nothing":
            raise UsageError(f"--model {model} is not FILE:RUN@ITERATION with a run's number, such as es.db:1@500")
        return None
    path = Path(named["database"])
    if kind_of(path) != "file":
        if path.suffix != ".db":
            return None  # a colon may be part of other names
        raise UsageError(
            f"--model {model} names a training run of {path}, and there is no such file; use FILE:RUN@ITERATION with a "
            f"database that esprobe train-es has written"
        )
    with RolloutStore.open(path) as store:
        runs = training_runs(store)
    matching = [run for run in runs if str(run.id) == named["run"]]
    if not matching and len(named["run"]) >= _FEWEST_DIGITS:
        matching = [run for run in runs if run.digest.startswith(named["run"])]
    if len(matching) != 1:
        known = ", ".join(f"{run.id} ({len(run.iterations):,} iterations)" for run in runs) or "none"
        raise ModelError(f"{path} has no training run {named['run']}; it has: {known}")
    (run,) = matching
    iteration = len(run.iterations) if named["iteration"] is None else int(named["iteration"])
    if iteration > len(run.iterations):
        raise ModelError(
            f"training run {run.id} of {path} has {len(run.iterations):,} iterations, so there is no model after "
            f"{iteration:,}; use --model {path}:{run.id}@{len(run.iterations)}, or go on training"
        )
    base, name = run.recipe["base"], _beside(path, run.model)
    return Lineage(
        name=f"{path.name}:{run.id}@{iteration}",
        base=name,
        base_fingerprint=base["model_fingerprint"],
        dtype=base["dtype"],
        trajectory=trajectory_of(run, path).upto(iteration),
        state=run.iterations[iteration].state if iteration < len(run.iterations) else None,
        snapshots=str(snapshots_of(path).absolute()),
        below=find_lineage(name),
    )
