"""``passk`` and ``report`` on databases that the real command line filled."""

import csv
import io
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

import esprobe as package
from esprobe.tasks.countdown.generate import GENERATED_SEED, candidates, distinct
from tests.conftest import Run, run_esprobe


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both arms over 30 problems; problem 200's answers are scripted to be right one time in two."""
    right = next(islice(distinct(candidates(GENERATED_SEED)), 200, None)).solution
    folder = tmp_path_factory.mktemp("filled")
    script = folder / "model.json"
    script.write_text(json.dumps({"*": ["no"], "200": [f" </think>\n<answer>{right}</answer>", "no"]}))
    common = ["--engine", "scripted", "--model", script, "--problems", "200:230", "--samples", "16"]
    path = folder / "filled.db"
    assert run_esprobe(folder, "sample-temp", *common, "-t", "0.8", "--db", path).returncode == 0
    assert run_esprobe(folder, "sample-perturb", *common, "--sigma", "0.005", "--db", path).returncode == 0
    return path


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own that nothing can be written to."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_the_json_contract(esprobe: Run, database: Path) -> None:
    document = json.loads(esprobe("passk", "--db", database, "--format", "json").stdout)
    assert list(document) == ["schema", "task", "conditions", "nulls"]
    assert (document["schema"], document["task"]) == (2, "countdown")
    greedy, temperature, perturbation = document["conditions"]
    assert [c["kind"] for c in document["conditions"]] == ["greedy", "temperature", "perturbation"]
    assert (temperature["temperature"], temperature["sigma"]) == (0.8, None)
    assert (perturbation["temperature"], perturbation["sigma"]) == (None, 0.005)
    assert (perturbation["problems"], perturbation["rollouts"], perturbation["samples_min"]) == (30, 480, 16)
    assert [point["k"] for point in temperature["pass_at_k"]] == [1, 2, 4, 8, 16]
    assert greedy["pass_at_k"][0]["k"] == 1


def test_estimates_are_those_of_the_stored_verdicts(esprobe: Run, database: Path) -> None:
    with sqlite3.connect(database) as connection:
        query = "SELECT problem, count(*), sum(correct) FROM rollouts WHERE kind = ? GROUP BY problem"
        counts = {kind: connection.execute(query, (kind,)).fetchall() for kind in ("temperature", "perturbation")}
    connection.close()
    document = json.loads(esprobe("passk", "--db", database, "--format", "json").stdout)
    for condition in document["conditions"][1:]:
        of_kind = counts[condition["kind"]]
        assert 0 < sum(c for _, _, c in of_kind) < 16
        for point in condition["pass_at_k"]:
            expected = sum(package.pass_at_k(n, c, point["k"]) for _, n, c in of_kind) / len(of_kind)
            assert point["estimate"] == pytest.approx(expected, abs=1e-12)
            assert point["ci_low"] <= point["estimate"] <= point["ci_high"]


def test_every_format_speaks_of_every_condition(esprobe: Run, database: Path) -> None:
    for form in ("table", "markdown", "csv"):
        done = esprobe("passk", "--db", database, "--format", form)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert all(label in done.stdout for label in ("greedy", "T=0.8", "sigma=0.005"))
    parsed = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["k"] for row in parsed if row["kind"] == "temperature"} == {"1", "2", "4", "8", "16"}


def test_k_and_condition_choose(esprobe: Run, database: Path) -> None:
    done = esprobe("passk", "--db", database, "--format", "json", "--k", "3", "--k", "5", "--condition", "T=0.8")
    (condition,) = json.loads(done.stdout)["conditions"]
    assert condition["label"] == "T=0.8"
    assert [point["k"] for point in condition["pass_at_k"]] == [3, 5]


def test_the_k_of_a_report_are_those_of_its_differences_too(esprobe: Run, database: Path) -> None:
    document = json.loads(esprobe("report", "--db", database, "--format", "json", "--k", "4").stdout)
    assert document["pairs"] and document["against_null"]
    for pair in document["pairs"] + document["against_null"]:
        assert [[point["k"] for point in told["points"]] for told in pair["differences"]] == [[4], [4]]
    for condition in document["conditions"]:
        told = [point["k"] for group in condition["by_group"].values() for point in group]
        assert set(told) == ({1} if condition["kind"] == "greedy" else {4})


def test_a_report_shows_the_differences_at_the_k_asked_for(esprobe: Run, database: Path) -> None:
    text = esprobe("report", "--db", database, "--no-figures", "--k", "3", "--k", "5").stdout
    assert "| A | B | k = 3 | k = 5 | smallest p (Holm) |" in text


@pytest.mark.parametrize(("k", "said"), [(0, "at least 1, got 0"), (-1, "at least 1, got -1"), (17, "16 rollouts")])
def test_a_k_that_cannot_be_told_is_refused_in_words(esprobe: Run, database: Path, k: int, said: str) -> None:
    done = esprobe("passk", "--db", database, "--k", k)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_condition_is_refused_with_the_known_ones(esprobe: Run, database: Path) -> None:
    done = esprobe("passk", "--db", database, "--condition", "T=0.9")
    assert (done.returncode, done.stdout) == (2, "")
    assert "T=0.9" in done.stderr and "2 (T=0.8)" in done.stderr


def test_the_report_is_written_whole_and_says_all(esprobe: Run, database: Path, tmp_path: Path) -> None:
    shown = esprobe("report", "--db", database)
    written = esprobe("report", "--db", database, "--output", tmp_path / "report.md", "--no-figures")
    assert (shown.returncode, written.returncode) == (0, 0), shown.stderr + written.stderr
    text = (tmp_path / "report.md").read_text()
    assert text == shown.stdout
    for expected in ("## Setup", "T=0.8", "sigma=0.005", "Greedy baselines", "about 15.7 %", "## Provenance", "sqlite"):
        assert expected in text, expected
    document = json.loads(esprobe("report", "--db", database, "--format", "json").stdout)
    assert len(document["sessions"]) == 2
    assert "nan" not in json.dumps(document).lower()


def test_an_incomplete_run_is_named_as_such(esprobe: Run, database: Path, tmp_path: Path) -> None:
    torn = shutil.copy(database, tmp_path / "torn.db")
    with sqlite3.connect(torn) as connection:
        connection.execute("DELETE FROM rollout WHERE condition_id = 3 AND seed = 50 AND problem_id < 6")
    connection.close()
    text = esprobe("report", "--db", torn).stdout
    assert "5 of 480 planned rollouts are missing" in text
    document = json.loads(esprobe("passk", "--db", torn, "--format", "json").stdout)
    assert (document["conditions"][2]["samples_min"], document["conditions"][2]["samples_max"]) == (15, 16)


def test_a_report_that_cannot_be_written_says_so(esprobe: Run, database: Path, tmp_path: Path) -> None:
    done = esprobe("report", "--db", database, "--output", tmp_path / "no" / "such" / "report.md")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the report cannot be written")


@pytest.mark.parametrize("suffix", ["", "-wal", ".lock"])
def test_a_report_never_overwrites_its_database(esprobe: Run, database: Path, tmp_path: Path, suffix: str) -> None:
    copied = Path(shutil.copy(database, tmp_path / "copied.db"))
    before = copied.read_bytes()
    (tmp_path / "link.md").symlink_to(f"copied.db{suffix}")
    for output in (f"{copied}{suffix}", tmp_path / "link.md"):
        done = esprobe("report", "--db", copied, "--output", output)
        assert done.returncode == 2
        assert "would be destroyed" in done.stderr
    assert copied.read_bytes() == before


def test_nothing_is_written_over_another_database(esprobe: Run, database: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(database, tmp_path / "other.db"))
    before = other.read_bytes()
    for command in (["report", "--no-figures"], ["report", "--format", "html"], ["export"]):
        done = esprobe(*command, "--db", database, "--output", other)
        assert (done.returncode, "would be destroyed" in done.stderr) == (2, True), done.stderr
    assert other.read_bytes() == before


def test_a_read_only_place_is_one_line(esprobe: Run, database: Path, tmp_path: Path, read_only: Path) -> None:
    for words in (
        ["report", "--output", read_only / "r.md"],
        ["report", "--format", "html", "--output", read_only / "r.html"],
        ["export", "--output", read_only / "x.jsonl"],
        ["export", "--format", "parquet", "--output", read_only / "x.parquet"],
        ["backup", read_only / "b.db"],
    ):
        done = esprobe(*words, "--db", database)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert "cannot be" in done.stderr
    assert not list(read_only.iterdir())


def test_a_report_goes_where_a_link_points_and_into_devices(esprobe: Run, database: Path, tmp_path: Path) -> None:
    (tmp_path / "target.md").write_text("old")
    (tmp_path / "link.md").symlink_to("target.md")
    assert esprobe("report", "--db", database, "--output", "link.md").returncode == 0
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "target.md").read_text().startswith("# pass@k")
    assert esprobe("report", "--db", database, "--output", "/dev/null").returncode == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("output", [".", "/", "folder"])
def test_a_folder_is_no_report(esprobe: Run, database: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "folder").mkdir()
    done = esprobe("report", "--db", database, "--output", output)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is a folder" in done.stderr


def test_what_any_session_asked_for_is_the_plan(esprobe: Run, database: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copy(database, tmp_path / "copied.db"))
    script = database.parent / "model.json"
    again = ["--engine", "scripted", "--model", script, "-t", "0.8", "--no-baseline", "--db", copied]
    assert esprobe("sample-temp", *again, "--problems", "228:240", "--samples", "4", "--seed", "100").returncode == 0
    text = esprobe("report", "--db", copied).stdout
    assert "Every planned rollout is stored." not in text  # unequal n is still named
    assert "are missing" not in text
    with sqlite3.connect(copied) as connection:
        connection.execute("DELETE FROM rollout WHERE condition_id = 2 AND seed = 45 AND problem_id <= 3")
    connection.close()
    assert "3 of 528 planned rollouts are missing" in esprobe("report", "--db", copied).stdout


def test_conditions_over_other_problems_are_not_set_side_by_side_in_silence(
    esprobe: Run, database: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copy(database, tmp_path / "copied.db"))
    script = database.parent / "model.json"
    again = ["--engine", "scripted", "--model", script, "-t", "0.4", "--no-baseline", "--db", copied]
    assert esprobe("sample-temp", *again, "--problems", "200:210", "--samples", "4").returncode == 0
    assert "different numbers of problems" in esprobe("passk", "--db", copied).stdout
    assert "different numbers of problems" not in esprobe("passk", "--db", database).stdout


def test_a_greedy_baseline_has_only_pass_at_1(esprobe: Run, database: Path) -> None:
    done = esprobe("passk", "--db", database, "--condition", "greedy", "--k", "4")
    assert (done.returncode, done.stdout) == (2, "")
    assert "only --k 1" in done.stderr


def test_a_condition_that_was_never_sampled_is_not_shown(esprobe: Run, database: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copy(database, tmp_path / "copied.db"))
    with sqlite3.connect(copied) as connection:
        connection.execute(
            "INSERT INTO condition SELECT 9, kind, 0.3, NULL, 'ghost', "
            "replace(identity, '\"temperature\": 0.8', '\"temperature\": 0.3'), 'v1:ghost' FROM condition WHERE id = 2"
        )
    connection.close()
    assert "ghost" not in esprobe("passk", "--db", copied).stdout


def test_arms_that_differ_by_an_option_are_not_set_side_by_side_in_silence(
    esprobe: Run, database: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copy(database, tmp_path / "copied.db"))
    script = database.parent / "model.json"
    again = ["--engine", "scripted", "--model", script, "-t", "0.4", "--no-baseline", "--db", copied]
    assert (
        esprobe("sample-temp", *again, "--problems", "200:300", "--samples", "1", "--max-tokens", "7").returncode == 0
    )
    assert "differ in max new tokens (1024 and 7)" in esprobe("passk", "--db", copied).stdout
    assert "differ in" not in esprobe("passk", "--db", database).stdout


def test_seeds_that_lie_far_apart_are_told_without_laying_out_what_lies_between(
    esprobe: Run, database: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copy(database, tmp_path / "copied.db"))
    script = database.parent / "model.json"
    far = ["--engine", "scripted", "--model", script, "-t", "0.4", "--no-baseline", "--db", copied, "--samples", "2"]
    assert esprobe("sample-temp", *far, "--problems", "200:210").returncode == 0
    assert esprobe("sample-temp", *far, "--problems", "205:215", "--seed", 5 * 10**9).returncode == 0
    with sqlite3.connect(copied) as connection:
        last = "(SELECT max(problem_id) FROM rollout WHERE seed = 5000000001)"
        connection.execute(f"DELETE FROM rollout WHERE seed = 5000000001 AND problem_id = {last}")
    connection.close()
    told = json.loads(esprobe("report", "--format", "json", "--db", copied).stdout)
    (ours,) = [c for c in told["conditions"] if c["label"] == "T=0.4"]
    assert (ours["rollouts"], ours["missing"]) == (39, 1)


PLUGIN = """
from esprobe.errors import DataError
from esprobe.tasks.countdown import load as load_countdown
class Mine:
    name = "mine"
    def __init__(self, task): self._task = task
    def __getattr__(self, key): return getattr(self._task, key)
def load():
    {body}
"""


def test_a_task_that_cannot_be_loaded_is_named_with_what_is_missing_without_it(
    process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "site" / "mine_task.py"
    metadata = tmp_path / "site" / "mine-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[esprobe.tasks]\nmine = mine_task:load\n")
    plugin.write_text(PLUGIN.format(body="return Mine(load_countdown())"))
    monkeypatch.setenv("PYTHONPATH", str(plugin.parent), prepend=":")
    (tmp_path / "model.json").write_text(json.dumps({"*": ["no"]}))
    common = ["--engine", "scripted", "--model", "model.json", "--task", "mine", "--problems", "200:204"]
    assert process("sample-temp", *common, "--samples", "2", "-t", "0.8").returncode == 0
    commands = [("passk",), ("passk", "--format", "json"), ("report",), ("report", "--format", "csv")]
    for command in commands:
        done = process(*command)
        assert (done.returncode, done.stderr, "no random-guessing curve" in done.stdout) == (0, "", False)
    plugin.write_text(PLUGIN.format(body="raise DataError('mine.csv is gone')"))
    shown = process("passk").stdout
    assert "ask mine cannot be used here" in shown and "random guessing is as stored when it was sampled" in shown
    assert process("compare", "null", "T=0.8").returncode == 0
    with sqlite3.connect(tmp_path / "esprobe.db") as connection:  # as an older esprobe has left it
        connection.execute("DELETE FROM guessing")
    connection.close()
    for reason in ("mine.csv is gone", "is not installed here"):
        for command in commands:
            done = process(*command)
            assert done.returncode == 0, done.stderr
            # Documents for programs stay as they are; there the note goes to stderr.
            note = done.stderr if "--format" in command else done.stdout
            assert "ask mine" in note and reason in note and "no random-guessing curve" in note
        refused = process("compare", "null", "T=0.8")
        assert (refused.returncode, refused.stdout) == (2, "") and reason in refused.stderr
        (metadata / "entry_points.txt").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "words",
    [["passk"], ["compare", "T=0.8", "sigma=0.005"], ["report", "--format", "json"], ["rescore"], ["show"], ["status"]],
    ids=lambda words: words[0],
)
def test_a_reading_command_loads_no_data_set_and_no_database_library(
    words: list[str], database: Path, tmp_path: Path
) -> None:
    code = (
        f"import sys; sys.argv = ['esprobe', *{words!r}, '--db', {str(database)!r}]\n"
        "from esprobe.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "esprobe.store.reader" in loaded
    unwanted = {"esprobe.tasks.countdown.generate", "sqlmodel", "sqlalchemy", "torch", "transformers", "vllm"}
    assert not loaded & unwanted
