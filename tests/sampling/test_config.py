"""Options from a YAML file: the command line wins, then the environment, then the file."""

from pathlib import Path

import pytest

from esprobe.cli.plan import PlanOptions
from esprobe.cli.sampling_options import SamplingOptions, VllmOptions, WorkerOptions
from esprobe.engines import EngineOptions
from esprobe.sampling.job import Job
from esprobe.workers.pool import PoolOptions
from tests.sampling.material import invoke, query, write_script


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "run.yaml"


def drawn(db: Path) -> list[tuple[object, ...]]:
    return query(db, "SELECT temperature, min(problem), max(problem), min(seed), max(seed) FROM rollouts GROUP BY 1")


def test_a_run_can_be_written_in_a_file(config: Path, script: Path, data: Path, db: Path) -> None:
    config.write_text(
        f"engine: scripted\nmodel: {script}\ndata: {data}\ndb: {db}\n"
        "problems: 10:30\ntemperature: [0.5, 1]\nsamples: 3\nseed: 7\nbaseline: false\nmax_tokens: 16\ntop-p: 0.9\n"
    )
    done = invoke("sample-temp", "--config", config)
    assert done.stdout.startswith(f"120 of 120 rollouts stored in {db}")
    assert drawn(db) == [(0.5, 10, 29, 7, 9), (1.0, 10, 29, 7, 9)]
    identity = "SELECT DISTINCT json_extract(identity, '$.max_tokens', '$.top_p') FROM condition"
    assert query(db, identity) == [("[16,0.9]",)]


def test_the_command_line_wins_over_the_file(common: list[object], config: Path, db: Path) -> None:
    config.write_text("temperature: [0.5]\nsamples: 3\nproblems: 0:7\nbaseline: true\n")
    done = invoke("sample-temp", *common, "--config", config, "-t", "1", "--samples", "2", "--no-baseline")
    assert done.code == 0
    assert drawn(db) == [(1.0, 0, 49, 42, 43)]


def test_the_environment_wins_over_the_file(
    common: list[object], config: Path, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(f"db: {db.with_name('file.db')}\nsamples: 1\ntemperature: [1]\n")
    monkeypatch.setenv("ESPROBE_DB", str(db.with_name("environment.db")))
    index = common.index("--db")
    assert invoke("sample-temp", *common[:index], *common[index + 2 :], "--config", config).code == 0
    assert {path.name for path in db.parent.glob("*.db")} == {"environment.db"}


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("problems: 10:30", (1.0, 10, 29, 42, 42)),  # YAML 1.1 reads 10:30 as the number 630
        ("temperature: 5e-1", (0.5, 0, 49, 42, 42)),  # and this as a text
        ("temperature: 0.5", (0.5, 0, 49, 42, 42)),  # one value of a repeatable option
        ("temperature:\nseed: ~", (None,)),  # nothing is set
    ],
)
def test_values_mean_what_they_mean_on_the_command_line(
    script: Path, data: Path, config: Path, db: Path, text: str, stored: tuple[object, ...]
) -> None:
    config.write_text(text)
    base = ["--engine", "scripted", "--model", script, "--data", data, "--db", db, "--samples", "1", "--no-baseline"]
    base += [] if "problems" in text else ["--problems", "0:50"]
    base += [] if "temperature" in text else ["-t", "1"]
    assert invoke("sample-temp", *base, "--config", config).code == 0
    if stored == (None,):
        assert [row[0] for row in drawn(db)] == [0.4, 0.6, 0.8, 1.0]
    else:
        assert drawn(db) == [stored]


@pytest.mark.parametrize(
    ("text", "code", "reasons"),
    [
        (
            "samples: 2\ntemprature: [1]\n",
            2,
            ["sets temprature, which sample-temp does not have", "did you mean temperature?"],
        ),
        ("sigma: [0.1]\n", 2, ["sets sigma, which sample-temp does not have"]),
        ("config: other.yaml\n", 2, ["sets config, which"]),
        ("3: 4\n", 2, ["sets 3, which"]),
        ("a: [1\n", 1, ["is not valid YAML (line 2, column 1: "]),
        ("a: \udcff\n", 1, ["is not valid YAML"]),
        ("!!python/object/apply:os.system ['true']\n", 1, ["is not valid YAML"]),
        ("- samples\n", 1, ["must be a mapping"]),
        ("", 1, ["sets no option", "the defaults are a whole study"]),
        ("# samples: 5\n", 1, ["sets no option"]),
        ("{}\n", 1, ["sets no option"]),
    ],
    ids=[
        "misspelt",
        "of another command",
        "itself",
        "number",
        "syntax",
        "bytes",
        "code",
        "list",
        "empty",
        "comment",
        "no keys",
    ],
)
def test_a_file_that_cannot_be_followed_is_refused_in_one_line(
    common: list[object], config: Path, db: Path, text: str, code: int, reasons: list[str]
) -> None:
    config.write_bytes(text.encode(errors="surrogateescape"))
    done = invoke("sample-temp", *common, "--config", config)
    assert (done.code, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert str(config) in done.stderr and all(reason in done.stderr for reason in reasons)
    assert not db.exists()


def test_a_missing_file_is_named(common: list[object], config: Path, db: Path) -> None:
    done = invoke("sample-temp", *common, "--config", config)
    assert (done.code, done.stdout) == (1, "")
    assert f"the configuration {config} cannot be read (No such file or directory)" in done.stderr
    assert not db.exists()


@pytest.mark.parametrize(
    "text", ["samples: many", "samples: [1, 2]", "model: [tiny]", "temperature: hot", "baseline: perhaps"]
)
def test_a_value_of_another_type_is_named_with_its_key_and_file(
    common: list[object], config: Path, db: Path, text: str
) -> None:
    config.write_text(text)
    done = invoke("sample-temp", *common, "--config", config)
    assert (done.code, done.stdout) == (2, "")
    key, _, value = text.partition(": ")
    assert f"error: the configuration {config} sets {key} to " in done.stderr and value[:2].strip("[") in done.stderr
    assert done.stderr.count("\n") == 1
    assert not db.exists()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("samples: yes", "True"),
        ("seed: no", "False"),
        ("workers: true", "True"),
        ("prompt: no", "False"),
        ("temperature: on", "[True]"),
        ("temperature: [0.5, off]", "['0.5', False]"),
    ],
)
def test_a_switch_is_no_number_and_no_word(common: list[object], config: Path, db: Path, text: str, read: str) -> None:
    config.write_text(text)
    done = invoke("sample-temp", *common, "--config", config)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert (
        f"error: the configuration {config} sets {text.partition(':')[0]} to {read}, but that option is not a switch"
        in done.stderr
    )
    assert not db.exists()


@pytest.mark.parametrize(("text", "greedy"), [("baseline: no", 0), ("baseline: on", 50), ("baseline: 'off'", 0)])
def test_a_switch_may_be_a_switch(script: Path, data: Path, config: Path, db: Path, text: str, greedy: int) -> None:
    config.write_text(f"{text}\nproblems: 0:50\n")
    base = ["--engine", "scripted", "--model", script, "--data", data, "--db", db, "--samples", "1", "-t", "1"]
    assert invoke("sample-temp", *base, "--config", config).code == 0
    assert query(db, "SELECT count(*) FROM rollouts WHERE kind = 'greedy'") == [(greedy,)]


def test_a_key_that_is_set_twice_is_refused_by_name(common: list[object], config: Path, db: Path) -> None:
    config.write_text("samples: 3\ntemperature: [1]\nsamples: 4\n")
    done = invoke("sample-temp", *common, "--config", config)
    assert done.code == 1
    assert "sets samples twice, in lines 1 and 3" in done.stderr
    config.write_text("max-tokens: 3\nmax_tokens: 4\n")
    assert (
        "sets max-tokens and max_tokens, which are the same option" in invoke("sample-temp", "--config", config).stderr
    )
    assert not db.exists()


def test_the_command_line_has_the_defaults_of_the_library() -> None:
    assert VllmOptions().engine_options() == EngineOptions()
    assert WorkerOptions().pool_options() == PoolOptions()
    job = SamplingOptions().job(VllmOptions(), WorkerOptions(), baseline=True)
    plain = Job(
        **{
            field: getattr(job, field)
            for field in ("command", "model", "engine", "task", "data", "problems", "samples")
        },
        **{field: getattr(job, field) for field in ("seed", "max_tokens", "dtype", "prompt", "baseline")},
    )
    assert job == plain


@pytest.mark.parametrize("command", ["sample-temp", "sample-perturb", "scan", "plan"])
def test_timeouts_of_workers_can_be_written_in_a_file(
    common: list[object], config: Path, db: Path, command: str
) -> None:
    config.write_text("stuck-timeout: 0\n")
    done = invoke(command, *common, "--config", config)
    assert (done.code, done.stdout) == (2, "")
    assert "--stuck-timeout must be a positive number of seconds, got 0" in done.stderr
    config.write_text("load_timeout: -5\n")
    assert (
        "--load-timeout must be a positive number of seconds, got -5"
        in invoke(command, *common, "--config", config).stderr
    )
    assert not db.exists()


@pytest.mark.parametrize("options", [WorkerOptions, PlanOptions])
def test_timeouts_reach_the_pool(options: type[WorkerOptions]) -> None:
    pool = options(stuck_timeout=12.5, load_timeout=90.0).pool_options()
    assert (pool.stuck_s, pool.loading_s) == (12.5, 90.0)


def test_stop_texts_end_completions_and_make_another_condition(tmp_path: Path, data: Path, db: Path) -> None:
    script = write_script(tmp_path / "script.json", "one </answer> two")
    common = ["--engine", "scripted", "--model", script, "--data", data, "--problems", "0:3", "--db", db, "-t", "1"]
    for stop in ([], ["--stop", "</answer>", "--stop", "none"]):
        done = invoke("sample-temp", *common, "--samples", "2", "--no-baseline", *stop)
        assert done.code == 0, done.stderr
    assert query(db, "SELECT DISTINCT condition, completion, finish_reason, token_count FROM rollouts ORDER BY 1") == [
        (1, "one </answer> two", "stop", 3),
        (2, "one </answer>", "stop", 2),
    ]
    assert query(db, "SELECT json_extract(identity, '$.stop') FROM condition") == [(None,), ('["</answer>","none"]',)]
    shown = invoke("passk", "--db", db)
    assert "Conditions differ in stop texts" in shown.stdout
