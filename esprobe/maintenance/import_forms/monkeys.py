"""Folders of Large Language Monkeys: a YAML file per problem, with its samples and, once evaluated, their verdicts.

Format: the README of large_language_monkeys, and what its evaluation scripts add (``is_corrects``).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from esprobe.errors import DataError, LibraryError
from esprobe.maintenance.import_forms.forms import Fields, Form, Found, Plan, Rollout, wrong
from esprobe.maintenance.import_forms.own import samples_of

_MOST_DIGITS = 15


def files_of(path: Path) -> list[Path]:
    """The YAML files of a folder, in the order of the numbers in their names.

    Raises:
        DataError: there are none, or the folder cannot be read.
    """
    try:
        files = [one for one in path.iterdir() if one.suffix in (".yaml", ".yml") and one.is_file()]
    except OSError as err:
        raise DataError(f"folder {path} cannot be read ({err.strerror}); check its permissions") from err
    if not files:
        raise DataError(
            f"{path} is a folder without YAML files, and a folder is read as one of Large Language Monkeys, with a "
            f"YAML file per problem (looked for: samples, is_corrects); name a file instead"
        )
    return sorted(files, key=lambda one: [(part.zfill(40), part) for part in re.split(r"(\d+)", one.stem)])


def _loaded(path: Path, file: Path) -> Fields:
    try:
        import yaml
    except ImportError:
        raise LibraryError(
            f"{path} holds YAML files and needs PyYAML, which is not installed; install it with: pip install pyyaml"
        ) from None
    try:
        text = file.read_text(encoding="utf-8-sig")
        values = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as err:
        raise DataError(f"{file} cannot be read ({err.strerror}); check its permissions") from err
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as err:
        reason = " ".join(str(err).split())[:120]
        raise wrong(path, file.name, f"is not valid YAML ({reason}), as if half-written") from err
    if not isinstance(values, dict):
        raise wrong(path, file.name, "is not a mapping of keys such as samples and is_corrects, as if half-written")
    return values


def _found(path: Path) -> Found:
    for file, line in _files(path):
        if "samples" not in line:
            raise wrong(path, file.name, 'has no "samples", as if half-written')
        read = dict(line)
        verdicts = read.setdefault("is_corrects", read.get("correct"))
        if isinstance(verdicts, list) and any(not isinstance(one, bool | int | None) for one in verdicts):
            raise wrong(path, file.name, 'has "is_corrects" other than true and false')
        stem = file.stem
        problem: int | str = int(stem) if stem.isascii() and stem.isdigit() and len(stem) <= _MOST_DIGITS else stem
        columns: dict[str, Any] = {key: line[key] for key in ("question", "theorem_name") if key in line}
        columns["problem"] = problem
        if isinstance(problem, str) and isinstance(line.get("question"), str):
            columns["problem"] = line["question"]
        for number, rollout in enumerate(samples_of(path, file.name, read, {"problem": problem}, columns)):
            assert isinstance(rollout, Rollout)
            yield rollout._replace(place=f"sample {number + 1} in {file.name}")


def _files(path: Path) -> Iterator[tuple[Path, Fields]]:
    return ((file, _loaded(path, file)) for file in files_of(path))


def _plan(path: Path, score: str | None) -> Plan:
    first = next(_files(path))[1]
    verdict = next((name for name in ("is_corrects", "correct") if first.get(name) is not None), None)
    why = None if verdict else "it has no is_corrects, as before its evaluation"
    told = f"{verdict} the verdicts" if verdict else "no verdict (no is_corrects)"
    mapping = f"a file's name without its ending is the problem, samples are the completions, {told}"
    return Plan(mapping, lambda: _found(path), why)


FORM = Form("a folder of Large Language Monkeys", "a folder of YAML files with samples", lambda record: False, _plan)
