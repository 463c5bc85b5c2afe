"""Files of rollouts that other tools write: which tool's a file is, by its content, and its rollouts."""

from pathlib import Path

from esprobe.errors import DataError
from esprobe.maintenance.import_forms import (
    human_eval,
    inspect_log,
    limit_of_rlvr,
    lm_eval,
    monkeys,
    no_json,
    openai_batch,
    own,
    verifiers,
)
from esprobe.maintenance.import_forms.forms import Reading, Rollout
from esprobe.maintenance.import_forms.json_lines import first_bytes, first_record
from esprobe.maintenance.import_forms.own import PROBLEM_KEYS
from esprobe.maintenance.import_forms.zip_members import ZIP
from esprobe.paths import kind_of

__all__ = ["PROBLEM_KEYS", "Reading", "Rollout", "open_rollouts"]

_BY_RECORD = (
    lm_eval.FORM,
    inspect_log.DOCUMENT,
    human_eval.RESULTS,
    limit_of_rlvr.FORM,
    openai_batch.FORM,
    verifiers.FORM,
    human_eval.SAMPLES,
    own.FORM,
)
"""The most telling first: other tools' rows may have esprobe's "completion", too."""

_SHOWN = 12


def open_rollouts(path: Path, score: str | None = None) -> Reading:
    """A file, or a folder, of rollouts, read as the form that its content shows; names do not matter.

    Args:
        path: the file or folder.
        score: which of several verdicts is meant.

    Raises:
        DataError: it cannot be read, or has no known form.
        UsageError: it has several verdicts and ``score`` chooses none of them.
        LibraryError: a library that reads it is not installed.
    """
    kind = kind_of(path)
    if kind == "other":
        raise DataError(
            f"{path} is not a regular file, and an import reads its file more than once; save it as a file first"
        )
    if kind == "folder":
        return monkeys.FORM.read(path, score)
    if first_bytes(path) == ZIP:
        return inspect_log.ZIPPED.read(path, score)
    try:
        record = first_record(path)
    except DataError as err:
        if (told := no_json.told(path, _looked_for())) is None:
            raise
        raise DataError(told) from err
    if record is None:
        raise DataError(f"{path} holds no rollout, so there is nothing to import")
    for form in _BY_RECORD:
        if form.matches(record):
            return form.read(path, score)
    has = ", ".join(str(name)[:40] for name in list(record)[:_SHOWN]) + (", ..." if len(record) > _SHOWN else "")
    raise DataError(
        f"{path} has no known form of rollouts: its first record has the keys {has or '(none)'}. Looked for: "
        f"{_looked_for()}. "
        f'Convert it to lines such as {{"problem": 3, "completion": "text", "correct": true}}'
    )


def _looked_for() -> str:
    forms = (*_BY_RECORD, inspect_log.ZIPPED, monkeys.FORM)
    return "; ".join(f"{form.name} ({form.looked_for})" for form in forms)
