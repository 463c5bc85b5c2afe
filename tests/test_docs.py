"""The documentation says what is so: its commands run, its tables and words are those of the code.

Pages are followed as a reader would: block by block, in one folder, with the files that a page says to save. A page
whose commands need no real model must also show what they really print.
"""

import importlib.util
import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sqlmodel import SQLModel

from esprobe.cli.main import make_app
from esprobe.noise import standard_normal
from esprobe.spec import Kind
from esprobe.store import RolloutStore
from esprobe.store import schema as _schema  # noqa: F401 - fills SQLModel's metadata
from esprobe.tasks.countdown import SCORERS, score
from esprobe.tasks.countdown.scoring import FAILURES
from esprobe.tasks.files import comparison, extraction
from esprobe.tasks.files import load as task_files
from esprobe.tasks.files.rows import SUFFIXES
from esprobe.tasks.files.task import FAILURES as FILE_FAILURES
from tests.conftest import REPOSITORY, Run, run_esprobe
from tests.test_imports import ROOMS

DOCS = REPOSITORY / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
APP = make_app()
COMMANDS = sorted(
    [command.name or "" for command in APP.registered_commands]
    + [
        f"{group.name} {command.name}"
        for group in APP.registered_groups
        if group.typer_instance
        for command in group.typer_instance.registered_commands
    ]
)

_FENCE = re.compile(
    r"(?:[Ss]ave\s(?:it|this)\sas\s`(?P<name>[^`]+)`:\s+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page, and the file that the page says to save it as."""

    language: str
    text: str
    saved_as: str | None


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    return [Block(m["language"], m["text"], m["name"]) for m in _FENCE.finditer(read(page))]


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the tables between a heading and the next, heads left out."""
    section = re.split(rf"^#+ {re.escape(heading)}$", read(page), flags=re.M)[1]
    section = re.split(r"^#+ ", section, flags=re.M)[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    rules = [number for number, cells in enumerate(lines) if set("".join(cells)) <= set("-| ")]
    return [cells for number, cells in enumerate(lines) if number not in rules and number + 1 not in rules]


def in_code(cell: str) -> str:
    return cell.strip("`")


# --- pages, followed


class Reader:
    """Does what a page says, in a folder of their own beside a copy of the examples."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(DOCS / "examples", folder / "examples")
        self._stderr = ""
        self._installs = False

    def follow(self, page: str) -> None:
        # A real model's numbers may differ between machines.
        compared = not any("--model tiny" in block.text for block in blocks(page) if block.language == "console")
        printed, before = "", ""
        for block in blocks(page):
            if block.saved_as:
                self._save(block.saved_as, block.text)
            elif block.language == "console":
                self._stderr = ""
                for command, shown in commands(block.text):
                    output = self._esprobe(command)
                    assert not shown or not compared or output == shown, f"{command} printed:\n{output}"
            elif block.language == "python":
                printed = self._run([sys.executable, "-c", block.text])
            elif block.language == "sql":
                with sqlite3.connect(self._folder / "esprobe.db") as connection:
                    assert connection.execute(block.text).fetchall(), block.text
                connection.close()
            elif block.language == "text" and before == "python":
                assert printed == block.text
            elif block.language == "text" and before == "console":
                assert block.text in self._stderr
            before = "" if block.saved_as else block.language

    def _esprobe(self, words: list[str]) -> str:
        if self._installs:  # what a page installs is found by a process that starts in its folder
            return self._run([sys.executable, "-m", *words])
        return self._checked(run_esprobe(self._folder, *words[1:]))

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=300, check=False)
        return self._checked(done)

    def _checked(self, done: "subprocess.CompletedProcess[str]") -> str:
        command = done.args
        assert done.returncode == 0, f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr}"
        self._stderr += done.stderr
        return done.stdout

    def _save(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")
        if name == "pyproject.toml":  # installed, as far as entry points go
            project = tomllib.loads(text)["project"]
            installed = self._folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
            installed.mkdir()
            self._installs = True
            (installed / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
            lines = []
            for group, points in project["entry-points"].items():
                lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
            (installed / "entry_points.txt").write_text("\n".join(lines))


def commands(text: str) -> Iterator[tuple[list[str], str]]:
    """(words, output shown) of each command in a console block."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        typed, _, shown = part.replace("\\\n", "").partition("\n")
        words = shlex.split(typed)
        assert words[0] == "esprobe", f"a console block runs in the tests, and {words[0]} cannot; make it sh"
        yield words, shown


@pytest.mark.parametrize("page", [page for page in PAGES if {"console", "python"} & {b.language for b in blocks(page)}])
def test_what_a_page_says_works(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    Reader(tmp_path).follow(page)


@pytest.mark.parametrize("page", [*PAGES, "../README.md", "../CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(page))
    missing = [link for link in links if "://" not in link and not (DOCS / page).parent.joinpath(link).exists()]
    assert not missing


def test_every_page_is_in_the_index() -> None:
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", read("index.md"))) == set(PAGES) - {"index.md"}


# --- commands


@pytest.fixture(scope="module")
def make_cli() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_cli", DOCS / "make_cli.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_line_page_is_current(make_cli: ModuleType) -> None:
    current = read("cli.md") == make_cli.page()
    assert current, (
        "docs/cli.md is out of date; write it again with: python -m nox -s docs (or python docs/make_cli.py)"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_place_in_a_guide(command: str, esprobe: Run) -> None:
    printed = esprobe(*command.split(), "--help").stdout
    section = read("cli.md").split(f"## esprobe {command}\n")[1].split("\n## ")[0]
    options = r"(?<![\w-])--[a-z][a-z-]*"
    assert set(re.findall(options, printed)) - {"--help"} == set(re.findall(options, section.replace("`: ", "`:\n")))
    description = section.strip().splitlines()[0]
    assert description in " ".join(printed.split())
    assert all(not line.endswith("`: ") for line in section.splitlines()), "an option has no help text"
    guides = [page for page in PAGES if page not in ("cli.md", "index.md", "contributing.md")]
    assert any(f"esprobe {command}" in read(page) for page in guides)


# --- words and numbers


@pytest.mark.parametrize("table", sorted(SQLModel.metadata.tables))
def test_every_column_is_described(table: str) -> None:
    described = [in_code(cells[0]) for cells in rows("store.md", table)]
    assert described == [column.name for column in SQLModel.metadata.tables[table].columns]


def test_every_column_of_the_view_is_named(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "tests" / "data" / "schema-m001.db", tmp_path / "any.db")
    connection = sqlite3.connect(tmp_path / "any.db")
    columns = [row[1] for row in connection.execute("PRAGMA table_info(rollouts)")]
    connection.close()
    section = read("store.md").split("### The view rollouts\n")[1].split("\n## ")[0]
    assert re.findall(r"`(\w+)`", section) == columns


def test_every_failure_word_is_described_as_in_the_code() -> None:
    assert [in_code(cells[0]) for cells in rows("scoring.md", "Failure words")] == list(FAILURES)


def test_task_files_are_described_as_in_the_code() -> None:
    assert [in_code(cells[0]) for cells in rows("task-files.md", "Keys")] == list(task_files.KEYS)
    assert {in_code(word): meaning for word, meaning in rows("task-files.md", "Failure words")} == FILE_FAILURES
    for heading, kinds in (("extract", extraction), ("compare", comparison)):
        described = [in_code(cells[0]).strip("{ }").partition(":")[0] for cells in rows("task-files.md", heading)]
        assert set(described) == {*kinds.BARE, *kinds.WITH_VALUE}
    described = {suffix for cells in rows("task-files.md", "data") for suffix in re.findall(r"`(\.\w+)`", cells[0])}
    assert described == set(SUFFIXES)
    assert [in_code(cells[0]) for cells in rows("task-files.md", "Built-in task files")] == [
        "gsm8k",
        "math500",
        "olympiadbench",
        "mcq",
    ]


def test_examples_of_scores_are_what_the_scorers_say() -> None:
    examples = rows("scoring.md", "Examples")
    assert len(examples) > 10
    for completion, *shown in examples:
        text = in_code(completion).replace("\\n", "\n")
        verdicts = [score(text, [44, 19, 35], "98", scorer) for scorer in SCORERS]
        assert shown == [f"{v.reward:g}" + (f" `{v.failure}`" if v.failure else "") for v in verdicts], completion


def test_golden_values_are_those_of_the_noise() -> None:
    golden = rows("noise.md", "Golden values")
    assert len(golden) > 5
    for element, bits, value in golden:
        noise = standard_normal(57, "model.embed_tokens.weight", int(element), 1)
        assert (f"{noise.view(np.uint32)[0]:08X}", f"{noise[0]:.7f}") == (bits, value)


def test_every_kind_of_condition_is_described() -> None:
    assert [in_code(cells[0]) for cells in rows("statistics.md", "Values of `kind`")] == [kind.value for kind in Kind]


def test_every_key_of_the_json_is_described(esprobe: Run, script: Path) -> None:
    assert esprobe("sample-temp", "--engine", "scripted", "--model", script, "--debug").returncode == 0
    document = json.loads(esprobe("passk", "--format", "json").stdout)
    condition = document["conditions"][0]
    described = [in_code(cells[0]) for cells in rows("statistics.md", "passk --format json")]
    assert described == [*document, *condition, *condition["pass_at_k"][0]]
    (header, *_) = esprobe("passk", "--format", "csv").stdout.splitlines()
    assert ", ".join(f"`{name}`" for name in header.split(",")) in " ".join(read("statistics.md").split())


def test_sessions_and_rooms_are_those_of_the_code() -> None:
    noxfile = (REPOSITORY / "noxfile.py").read_text()
    sessions = re.findall(r"^@nox\.session.*\ndef (\w+)", noxfile, re.M)
    assert {in_code(cells[0]) for cells in rows("contributing.md", "Checking a change")} == set(sessions)
    table = rows("contributing.md", "What is where")
    rooms = {in_code(room): set(re.findall(r"`(\w+)`", allowed)) for room, _, allowed in table}
    assert rooms == {room: allowed - {""} for room, allowed in ROOMS.items() if room not in ("", "__main__")}


def test_every_method_that_the_database_page_names_exists() -> None:
    (table,) = [lines for lines in read("store.md").split("\n\n") if lines.startswith("| method |")]
    methods = re.findall(r"^\| `(?:RolloutStore\.)?(\w+)\(", table, re.M)
    assert len(methods) > 5
    assert [name for name in methods if not callable(getattr(RolloutStore, name, None))] == []


# --- the study's configurations

CONFIGURATIONS = {
    "study.yaml": ([0.4, 0.6, 0.8, 1.0], [0.001, 0.003, 0.005, 0.01], 1024),
    "small.yaml": ([0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0005, 0.001, 0.003, 0.005, 0.01], 512),
}


def test_every_configuration_is_tested() -> None:
    assert {path.name for path in (DOCS / "examples").glob("*.yaml")} == {*CONFIGURATIONS, "es-countdown.yaml"}


def test_the_published_training_run_is_what_the_page_plans(esprobe: Run, script: Path) -> None:
    yaml = pytest.importorskip("yaml")
    path = DOCS / "examples" / "es-countdown.yaml"
    published = {"sigma": 0.001, "alpha": 0.0005, "population": 30, "iterations": 500, "problems": "0:200"}
    written = yaml.safe_load(path.read_text())
    assert written == written | published | {"model": "Qwen/Qwen2.5-0.5B-Instruct", "prompt": "raw"}
    overrides = ["--data", "generated", "--dtype", "auto", "--iterations", 1, "--problems", "0:2", "--population", 2]
    few = [*overrides, "--eval-problems", "200:202"]
    done = esprobe("train-es", "--config", path, "--engine", "scripted", "--model", script, *few)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_runs_and_the_command_line_wins(name: str, esprobe: Run, script: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    temperatures, sigmas, samples = CONFIGURATIONS[name]
    path = DOCS / "examples" / name
    written = yaml.safe_load(path.read_text())
    hub = "Qwen/Qwen2.5-0.5B-Instruct"
    assert written == written | {"model": hub, "dtype": "float16", "data": "es-paper", "samples": samples, "seed": 42}
    overrides = ["--data", "generated", "--problems", "200:203", "--samples", "2", "--dtype", "auto"]
    done = esprobe("sample", "--config", path, "--engine", "scripted", "--model", script, *overrides)
    assert done.returncode == 0, done.stderr
    with RolloutStore.open(tmp_path / "esprobe.db") as store:
        greedy, *others = store.conditions()
        assert greedy.condition.kind == "greedy"
        conditions = [stored.condition for stored in others]
        assert [c.temperature for c in conditions if c.sigma is None] == temperatures
        assert [c.sigma for c in conditions if c.sigma is not None] == sigmas
        for stored in others:
            assert (stored.condition.prompt, stored.condition.max_tokens) == ("chat", 1024)
            assert (stored.condition.engine, stored.condition.model) == ("scripted", str(script))
            matrix = store.correctness(stored.id)
            assert (matrix.problems.tolist(), matrix.seeds.tolist()) == ([200, 201, 202], [42, 43])
