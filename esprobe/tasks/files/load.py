"""From a task file to a task: every key, checked before anything is loaded."""

import re
from pathlib import Path

from esprobe.tasks.base import TaskDefaults
from esprobe.tasks.files.choices import choices
from esprobe.tasks.files.comparison import ChoiceLabel, comparison
from esprobe.tasks.files.extraction import extraction
from esprobe.tasks.files.gold import gold
from esprobe.tasks.files.keys import Key
from esprobe.tasks.files.prompt_form import prompt_form
from esprobe.tasks.files.source import source
from esprobe.tasks.files.task import ChoiceTask, FileTask, Parts
from esprobe.tasks.files.template import templates
from esprobe.tasks.files.yaml_text import read_yaml

KEYS = (
    *("name", "about", "data", "prompt", "answer", "extract", "compare", "choices", "group"),
    *("train", "problems", "max_tokens"),
)


def load_file(path: Path) -> FileTask:
    """The task that a file describes; no data set is read.

    Raises:
        DataError: the file cannot be read, or a key is missing or wrong.
        LibraryError: PyYAML is not installed.
    """
    held = Key(path, "", read_yaml(path)).keys(KEYS)
    name = held["name"].required("name: my-task").text() or ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        held["name"].wrong("a name has at most 64 letters, digits, dots, underscores and hyphens, such as my-task")
    training = held["train"].slice()
    compare = held["compare"].required("compare: text")
    options = choices(held["choices"])
    extract = held["extract"].required("extract: whole")
    asks = [key for key in (compare, extract) if key.value == "choice"]
    if options is None and asks:
        what = "choices: COLUMN, the column that holds a problem's choices"
        held["choices"].required(what, f"{asks[0].name}: choice")
    parts = Parts(
        name=name,
        about=held["about"].text(),
        source=source(held["data"]),
        prompt=prompt_form(held["prompt"].required('prompt: {user: "{question}"}'), training is not None),
        gold=gold(held["answer"].required('answer: "{answer}"')),
        extraction=extraction(extract),
        comparison=comparison(compare),
        choices=options,
        group=templates(held["group"]),
        defaults=TaskDefaults(
            training=training,
            problems=held["problems"].slice(),
            max_tokens=held["max_tokens"].count(),
        ),
    )
    return ChoiceTask(parts) if isinstance(parts.comparison, ChoiceLabel) else FileTask(parts)
