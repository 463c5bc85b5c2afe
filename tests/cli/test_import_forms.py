"""``import`` of files that other programs wrote: counts and verdicts are those that the file itself has."""

import gzip
import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sampling.material import Done, invoke, query, write_data

FILES = Path(__file__).parent.parent / "data" / "imports"

HAS_ZSTANDARD = sys.version_info >= (3, 14) or importlib.util.find_spec("zstandard") is not None
ZSTANDARD = pytest.mark.skipif(not HAS_ZSTANDARD, reason="zstandard is not installed")

Verdicts = list[tuple[str, int, str, bool]]
"""Problem, seed, completion and verdict of each rollout."""


def import_(path: Path, into: Path, *more: object) -> Done:
    return invoke("import", path, "--label", "theirs", "--db", into, *more)


def stored(path: Path) -> Verdicts:
    sql = "SELECT problem.inputs, seed, text, correct FROM rollout JOIN problem ON problem.id = problem_id "
    sql += "JOIN completion ON completion.id = completion_id"
    found = query(path, sql)
    return sorted((str(json.loads(inputs)["problem"]), seed, text, bool(right)) for inputs, seed, text, right in found)


def records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FILES / name).read_text().splitlines()]


def of_inspect(score: str) -> Verdicts:
    """The rollouts of ``inspect.json.gz``, whose samples are those of the other logs too."""
    samples = json.loads(gzip.decompress((FILES / "inspect.json.gz").read_bytes()))["samples"]
    return [
        (str(s["id"]), s["epoch"] - 1, s["output"]["completion"], s["scores"][score]["value"] == "C") for s in samples
    ]


def of_lm_eval(name: str, chosen: str) -> Verdicts:
    found = []
    for line in records(name):
        value = line["exact_match"]
        values = value if isinstance(value, list) else [value]
        for seed, (text, right) in enumerate(zip(line["resps"][0], values, strict=True)):
            found += [(str(line["doc_id"]), seed, text, right == 1)] if line["filter"] == chosen else []
    return found


def numbered(rows: list[tuple[str, str, bool]]) -> Verdicts:
    """Rows of problems, whose seeds follow from their order."""
    counts: dict[str, int] = {}
    found = []
    for problem, text, right in rows:
        counts[problem] = counts.get(problem, -1) + 1
        found.append((problem, counts[problem], text, right))
    return found


def of_human_eval() -> Verdicts:
    return numbered([(row["task_id"], row["completion"], row["passed"]) for row in records("human-eval.jsonl")])


def of_evalplus(*statuses: str) -> Verdicts:
    tasks = json.loads((FILES / "evalplus.json").read_text())["eval"]
    rows = [(task, one) for task, solutions in tasks.items() for one in solutions]
    return numbered([(task, one["solution"], all(one[name] == "pass" for name in statuses)) for task, one in rows])


def of_verifiers() -> Verdicts:
    rows = [row for row in records("verifiers.jsonl") if row["error"] is None]
    return numbered([(str(row["example_id"]), row["completion"][0]["content"], row["reward"] >= 1) for row in rows])


def of_limit() -> Verdicts:
    rows = records("limit-of-rlvr.jsonl")
    return numbered(
        [(str(row["idx"]), text, right) for row in rows for text, right in zip(row["code"], row["score"], strict=True)]
    )


def of_monkeys() -> Verdicts:
    said = {"2": (["1", "2", "One: 1"], [1, 0, 1]), "10": (["no", "yes: 3", "2"], [0, 0, 1])}
    return numbered(
        [(name, t, bool(c)) for name, (texts, right) in said.items() for t, c in zip(texts, right, strict=True)]
    )


STRICT, FLEXIBLE = "strict-match", "flexible-extract"


@pytest.mark.parametrize(
    ("name", "options", "form", "verdicts"),
    [
        ("inspect.json.gz", [], "an inspect_ai log", lambda: of_inspect("match")),
        pytest.param("inspect.eval", [], "an inspect_ai log", lambda: of_inspect("match"), marks=ZSTANDARD),
        ("lm-eval-one.jsonl", [], "lm-eval", lambda: of_lm_eval("lm-eval-one.jsonl", STRICT)),
        ("lm-eval-each.jsonl", [], "lm-eval", lambda: of_lm_eval("lm-eval-each.jsonl", STRICT)),
        ("lm-eval-filters.jsonl", ["--score", STRICT], "lm-eval", lambda: of_lm_eval("lm-eval-filters.jsonl", STRICT)),
        (
            "lm-eval-filters.jsonl",
            ["--score", f"exact_match,{FLEXIBLE}"],
            "lm-eval",
            lambda: of_lm_eval("lm-eval-filters.jsonl", FLEXIBLE),
        ),
        ("human-eval.jsonl", [], "human-eval", of_human_eval),
        ("evalplus.json", [], "evalplus results", lambda: of_evalplus("base_status", "plus_status")),
        ("evalplus.json", ["--score", "base"], "evalplus results", lambda: of_evalplus("base_status")),
        ("verifiers.jsonl", [], "verifiers results", of_verifiers),
        ("limit-of-rlvr.jsonl", [], "limit-of-RLVR rows", of_limit),
        ("monkeys", [], "a folder of Large Language Monkeys", of_monkeys),
    ],
)
def test_counts_and_verdicts_are_the_files(
    tmp_path: Path, name: str, options: list[str], form: str, verdicts: Callable[[], Verdicts]
) -> None:
    path, into, expected = tmp_path / "no-name-tells", tmp_path / "i.db", sorted(verdicts())
    (shutil.copytree if (FILES / name).is_dir() else shutil.copy)(FILES / name, path)  # the content decides
    done = import_(path, into, *options)
    assert done.code == 0, done.stderr
    first, counts, right, *_ = done.stdout.splitlines()
    assert first.startswith(f"read as {form}") and "verdict" in first
    problems = len({problem for problem, *_ in expected})
    assert counts == f"{len(expected)} rollouts of {problems} problems imported, 0 were there already"
    assert right == f"{sum(one[3] for one in expected)} of {len(expected)} are correct by the file's verdicts"
    assert stored(into) == expected
    assert import_(path, into, *options).stdout.splitlines()[1].startswith("0 rollouts of")
    assert invoke("verify", "--db", into).code == 0


@pytest.mark.parametrize("name", [path.name for path in sorted(FILES.glob("*.jsonl"))])
def test_json_lines_may_be_compressed(tmp_path: Path, name: str) -> None:
    (tmp_path / "packed").write_bytes(gzip.compress((FILES / name).read_bytes()))
    (tmp_path / "plain").write_bytes((FILES / name).read_bytes())
    options = ["--score", STRICT] if "filters" in name else []
    packed, plain = (import_(tmp_path / one, tmp_path / f"{one}.db", *options) for one in ("packed", "plain"))
    assert (packed.code, packed.stdout.replace("packed", "plain")) == (plain.code, plain.stdout)
    assert packed.stderr.replace("packed", "plain") == plain.stderr


@ZSTANDARD
def test_several_scorers_of_inspect_need_a_choice(tmp_path: Path) -> None:
    log = FILES / "inspect-two-scorers.eval"
    done = import_(log, tmp_path / "i.db")
    assert (done.code, "(match, includes)" in done.stderr, "--score match" in done.stderr) == (2, True, True), done
    assert import_(log, tmp_path / "i.db", "--score", "includes").code == 0
    assert [one[:3] for one in stored(tmp_path / "i.db")] == sorted(one[:3] for one in of_inspect("match"))
    assert "its scores are: match, includes" in import_(log, tmp_path / "j.db", "--score", "exact").stderr
    other = import_(log, tmp_path / "i.db", "--score", "match")
    assert (other.code, "seed 2 of" in other.stderr, "--db" in other.stderr) == (1, True, False), other
    assert "another --label than 'theirs'" in other.stderr
    assert import_(log, tmp_path / "i.db", "--score", "match", "--label", "by match").code == 0


@ZSTANDARD
def test_samples_of_inspect_that_failed_are_counted(tmp_path: Path) -> None:
    done = import_(FILES / "inspect-error.eval", tmp_path / "i.db")
    assert "8 rollouts of 3 problems" in done.stdout and "have no completion: 1\n" in done.stdout, done
    assert ("2", 1) not in [one[:2] for one in stored(tmp_path / "i.db")]


@pytest.mark.skipif(HAS_ZSTANDARD, reason="zstandard is installed")
def test_a_log_compressed_by_zstandard_says_how_to_read_it(tmp_path: Path) -> None:
    done = import_(FILES / "inspect.eval", tmp_path / "i.db")
    assert (done.code, done.stderr.count("\n")) == (1, 1)
    assert "pip install zstandard" in done.stderr and "inspect log convert" in done.stderr


def test_filters_of_lm_eval_need_a_choice_where_they_judge_differently(tmp_path: Path) -> None:
    done = import_(FILES / "lm-eval-filters.jsonl", tmp_path / "i.db")
    assert (done.code, f"--score exact_match,{STRICT}" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lm-eval-repeats.jsonl", "exact_match has no value of 0 or 1 for each response"),
        ("evalplus-samples.jsonl", "it has no passed"),
        ("openai-batch.jsonl", "output of a batch has no verdict"),
    ],
)
def test_a_file_without_verdicts_says_why_it_needs_a_task(tmp_path: Path, name: str, why: str) -> None:
    done = import_(FILES / name, tmp_path / "i.db")
    assert (done.code, why in done.stderr) == (1, True), done.stderr
    assert done.stderr.endswith("so there are no verdicts to store; add --task NAME, whose scorer gives them\n")
    assert "--trust" not in done.stderr
    assert not (tmp_path / "i.db").exists()


def test_a_task_judges_what_a_batch_returned(tmp_path: Path) -> None:
    data, into = write_data(tmp_path / "data.json", 10), tmp_path / "i.db"
    done = import_(FILES / "openai-batch.jsonl", into, "--task", "countdown", "--data", data)
    assert done.code == 0, done.stderr
    assert "4 rollouts of 2 problems imported" in done.stdout and "have no completion: 2\n" in done.stdout
    seeds = "SELECT problem_index, seed, token_count FROM rollout JOIN problem ON problem.id = problem_id ORDER BY 1, 2"
    assert query(into, seeds) == [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1)]


@pytest.mark.parametrize("tool", ["lm-eval", "inspect"])
def test_a_task_finds_the_problem_by_what_the_tool_says_of_it(tmp_path: Path, tool: str) -> None:
    """The tool's own number is of a selection of the data, or counts from 1."""
    data, path, into = write_data(tmp_path / "data.json", 10), tmp_path / "x", tmp_path / "i.db"
    rows = json.loads(data.read_text())
    said = {"numbers": rows[4]["numbers"], "target": rows[4]["target"]}
    if tool == "lm-eval":
        record: dict[str, Any] = {"doc_id": 0, "doc": said, "resps": [["x"]], "filter": "none", "metrics": []}
    else:
        sample = {"id": 1, "epoch": 1, "input": "Reach it.", "metadata": said, "output": {"completion": "x"}}
        record = {"version": 2, "status": "success", "eval": {}, "samples": [sample]}
    path.write_text(json.dumps(record))
    done = import_(path, into, "--task", "countdown", "--data", data)
    assert done.code == 0, done.stderr
    assert query(into, "SELECT problem_index FROM problem") == [(4,)]


def test_likelihoods_are_no_completions(tmp_path: Path) -> None:
    done = import_(FILES / "lm-eval-choice.jsonl", tmp_path / "i.db")
    assert (done.code, "only tasks of output type generate_until" in done.stderr) == (1, True), done.stderr


def test_an_unknown_form_says_what_was_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": 3, "output": "text"}\n')
    done = import_(path, tmp_path / "i.db")
    assert (done.code, done.stderr.count("\n")) == (1, 1)
    for said in (
        "has the keys id, output",
        "doc_id, resps",
        "custom_id, response",
        "example_id",
        "task_id",
        "idx, code",
    ):
        assert said in done.stderr


def test_one_file_of_a_folder_of_yaml_names_the_folder(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FILES / "monkeys", tmp_path / "my monkeys"))
    done = import_(folder / "2.yaml", tmp_path / "i.db")
    assert (done.code, "2.yaml is YAML" in done.stderr, "JSON" in done.stderr) == (1, True, False), done
    assert f"name its folder: '{folder}'\n" in done.stderr
    (folder / "2.yaml").write_text('{"problem": 1, "completion": "x", "correct": true}')
    assert import_(folder / "2.yaml", tmp_path / "i.db").code == 0


def test_a_binary_file_is_called_what_it_is_and_the_forms_are_listed(tmp_path: Path) -> None:
    assert import_(FILES / "human-eval.jsonl", tmp_path / "i.db").code == 0
    log = (FILES / "inspect-two-scorers.eval").read_bytes()
    cases = {
        "log.eval.gz": (gzip.compress(log), f"gzip -dc {tmp_path}/log.eval.gz > log.eval"),
        "copy.db": ((tmp_path / "i.db").read_bytes(), "is a database of SQLite; .* esprobe export --db"),
        "db.gz": (gzip.compress((tmp_path / "i.db").read_bytes()), "is a database of SQLite"),
        "x.png": (b"\x89PNG\r\n\x1a\n\0\0", "is a binary file"),
        "x.bz2": (b"BZh91AY&SY\xff\xfe\xfd", "is a binary file"),
    }
    for name, (content, said) in cases.items():
        (tmp_path / name).write_bytes(content)
        done = import_(tmp_path / name, tmp_path / "j.db")
        assert (done.code, done.stderr.count("\n")) == (1, 1), done
        assert re.search(said, done.stderr), done.stderr
        assert "openai" in done.stderr.lower() and "a folder of YAML files" in done.stderr


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.9])
def test_a_compressed_file_that_was_cut_off_is_to_be_copied_again(tmp_path: Path, keep: float) -> None:
    lines = "".join(json.dumps({"problem": i, "completion": str(i * i), "correct": True}) + "\n" for i in range(5000))
    packed = gzip.compress(lines.encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: int(keep * len(packed))])
    (tmp_path / "changed.jsonl.gz").write_bytes(packed[:-8] + b"12345678")
    for name in ("cut", "changed"):
        done = import_(tmp_path / f"{name}.jsonl.gz", tmp_path / "i.db")
        assert (done.code, "so copy it again" in done.stderr) == (1, True), done.stderr
        assert not (tmp_path / "i.db").exists()


def test_a_score_that_nothing_asks_for_is_refused(tmp_path: Path) -> None:
    done = import_(FILES / "human-eval.jsonl", tmp_path / "i.db", "--score", "plus")
    assert (done.code, "leave out --score" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.8])
def test_a_half_written_yaml_file_is_named(tmp_path: Path, keep: float) -> None:
    folder = Path(shutil.copytree(FILES / "monkeys", tmp_path / "monkeys"))
    text = (folder / "10.yaml").read_text()
    (folder / "10.yaml").write_text(text[: int(len(text) * keep)])
    done = import_(folder, tmp_path / "i.db")
    assert (done.code, "10.yaml" in done.stderr, done.stderr.count("\n")) == (1, True, 1), done.stderr
    assert not (tmp_path / "i.db").exists()


@pytest.mark.parametrize("path", [*sorted(FILES.glob("*.json*")), *sorted(FILES.glob("*.eval"))])
def test_a_file_cut_off_anywhere_gives_one_line(tmp_path: Path, path: Path) -> None:
    content = path.read_bytes()
    for part in range(24):
        (tmp_path / "cut").write_bytes(content[: len(content) * part // 24])
        done = import_(tmp_path / "cut", tmp_path / f"{part}.db")
        assert done.code in (0, 1, 2) and "Traceback" not in done.stderr, done.stderr
        assert done.code == 0 or done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "value", ["NaN", "-1", "1e999", "9" * 400, '"\\ud800"', '"a\\u0000b"', "null", "[]", "{}", "true"]
)
@pytest.mark.parametrize(
    "record",
    [
        {"doc_id": 0, "resps": [["x"]], "filter": "f", "metrics": ["m"], "m": 1.0},
        {"task_id": "a", "completion": "x", "passed": True},
        {"example_id": 0, "completion": "x", "reward": 1.0},
        {"custom_id": "1-1", "response": {"body": {"choices": [{"text": "x", "finish_reason": "stop"}]}}},
        {"idx": 0, "code": ["x"], "score": [True], "pred": ["1"], "finish_reason": ["stop"]},
        {
            "version": 2,
            "status": "s",
            "eval": {},
            "samples": [{"id": 1, "epoch": 1, "output": {}, "scores": {"s": {"value": 1}}}],
        },
        {"eval": {"t": [{"solution": "x", "base_status": "pass", "plus_status": "pass"}]}},
    ],
    ids=lambda record: next(iter(record)),
)
def test_any_value_in_any_place_is_stored_or_refused_in_one_line(
    tmp_path: Path, record: dict[str, Any], value: str
) -> None:
    for number, text in enumerate(replaced(record)):
        (tmp_path / "x").write_text(text.replace('"HERE"', value))
        done = import_(tmp_path / "x", tmp_path / f"{number}.db")
        assert done.code in (0, 1, 2) and "Traceback" not in done.stderr, (text, done.stderr)
        assert done.code == 0 or done.stderr.count("\n") == 1


def replaced(value: Any) -> list[str]:
    """The JSON of a value with each of its parts in turn replaced by ``"HERE"``."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = ['"HERE"']
    for key, part in parts:
        for inner in replaced(part):
            copy = value.copy()
            copy[key] = json.loads(inner)
            found.append(json.dumps(copy))
    return found
