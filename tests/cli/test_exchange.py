"""``export``, ``import`` and ``backup``: what goes out reads back elsewhere, what comes in gets the same statistics."""

import json
import os
import re
import shutil
import sqlite3
import sys
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import esprobe as package
from esprobe.maintenance.import_seeds import SeedSet
from esprobe.maintenance.importing import Source, import_rollouts
from tests.sampling.material import invoke, query, rows, write_data, write_script
from tests.store.material import fill, shell

RIGHT = " </think>\n<answer> 1 + 2 </answer>"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    data, script = write_data(folder / "data.json", 10), write_script(folder / "script.json", RIGHT, " \u2713 two", "")
    common = ["--engine", "scripted", "--model", script, "--data", data, "--problems", "0:10", "--samples", 6]
    for arm in (["sample-temp", "-t", 0.8], ["sample-perturb", "--sigma", 0.01]):
        assert invoke(*arm, *common, "--db", folder / "e.db").code == 0
    return folder / "e.db"


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def passk(path: Path, *more: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(invoke("passk", "--db", path, "--format", "json", *more).stdout)[
        "conditions"
    ]
    return found


VIEW = (
    "SELECT condition, kind, temperature, sigma, model, task, problem, seed, completion, reward, correct, answer, "
    "failure, token_count, finish_reason FROM rollouts ORDER BY condition, seed, problem"
)


def test_json_lines_hold_every_rollout(filled: Path, tmp_path: Path) -> None:
    printed = invoke("export", "--db", filled).stdout
    assert printed.isascii()
    found = lines(printed)
    names = [name.strip() for name in VIEW.removeprefix("SELECT ").split(" FROM ")[0].split(",")]
    assert [tuple(row[name] for name in names) for row in found] == query(filled, VIEW)
    assert {row["label"] for row in found} == {"greedy", "T=0.8", "sigma=0.01"}
    identities = {d: json.loads(str(i)) for d, i in query(filled, "SELECT digest, identity FROM condition")}
    for row in found:
        identity = identities[row["condition_digest"]]
        for name in ("data_digest", "model_fingerprint", "dtype", "engine", "noise", "scope"):
            assert row[name] == identity.get(name), name
    assert {row["condition_digest"] for row in found} == {d for (d,) in query(filled, "SELECT digest FROM condition")}
    done = invoke("export", "--db", filled, "--output", tmp_path / "x.jsonl")
    assert done.stdout == f"130 rollouts written to {tmp_path / 'x.jsonl'}\n"
    assert (tmp_path / "x.jsonl").read_text() == printed
    chosen = lines(invoke("export", "--db", filled, "--condition", "T=0.8").stdout)
    assert [row for row in found if row["kind"] == "temperature"] == chosen


def test_without_pyarrow_it_says_what_to_type(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = invoke("export", "--db", filled, "--format", "parquet", "-o", tmp_path / "x.parquet")
    assert (done.code, "in a checkout of esprobe with: pip install '.[parquet]'" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_parquet_holds_the_same(filled: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert invoke("export", "--db", filled, "--format", "parquet", "-o", tmp_path / "x.parquet").code == 0
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.to_pylist() == lines(invoke("export", "--db", filled).stdout)
    assert str(table.schema.field("correct").type) == "bool"
    assert str(table.schema.field("sigma").type) == "double"


def test_an_export_never_overwrites_its_database(filled: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copy(filled, tmp_path / "e.db"))
    before = copied.read_bytes()
    for output in (copied, f"{copied}-wal", f"{copied}.lock", tmp_path):
        assert invoke("export", "--db", copied, "-o", output).code == 2
    assert invoke("export", "--db", copied, "--format", "parquet").code == 2
    assert invoke("export", "--db", copied, "-o", tmp_path / "no" / "x.jsonl").code == 1
    assert copied.read_bytes() == before


def test_what_was_exported_can_be_imported_and_says_the_same(filled: Path, tmp_path: Path) -> None:
    out, into = tmp_path / "x.jsonl", tmp_path / "i.db"
    assert invoke("export", "--db", filled, "--condition", "T=0.8", "-o", out).code == 0
    done = invoke("import", out, "--label", "theirs", "--db", into)
    assert done.stdout.splitlines()[1] == "60 rollouts of 10 problems imported, 0 were there already"
    (original,) = (c for c in passk(filled) if c["label"] == "T=0.8")
    (imported,) = passk(into)
    assert imported["pass_at_k"] == original["pass_at_k"]
    assert (imported["label"], imported["kind"], imported["tokens"]) == ("theirs", "imported", original["tokens"])
    content = "problem, seed, completion, reward, correct, answer, failure, token_count, finish_reason FROM rollouts"
    assert query(into, f"SELECT {content} ORDER BY seed, problem") == query(
        filled, f"SELECT {content} WHERE condition = 2 ORDER BY seed, problem"
    )
    again = invoke("import", out, "--label", "theirs", "--db", into)
    assert again.stdout.splitlines()[1] == "0 rollouts of 10 problems imported, 60 were there already"
    assert invoke("verify", "--db", into).code == 0


def test_a_task_scores_what_it_knows(filled: Path, tmp_path: Path) -> None:
    out, into = tmp_path / "x.jsonl", tmp_path / "i.db"
    texts = [json.loads(line) for line in invoke("export", "--db", filled, "--condition", "T=0.8").stdout.splitlines()]
    out.write_text("".join(json.dumps({"problem": t["problem"], "completion": t["completion"]}) + "\n" for t in texts))
    data = ["--task", "countdown", "--data", filled.parent / "data.json"]
    assert invoke("import", out, "--label", "theirs", *data, "--db", into).code == 0
    (original,) = (c for c in passk(filled) if c["label"] == "T=0.8")
    assert passk(into)[0]["pass_at_k"] == original["pass_at_k"]
    assert "60 recomputed" in invoke("verify", "--all", "--db", into).stdout
    assert invoke("import", out, "--label", "x", "--task", "countdown", "--data", "none.json", "--db", into).code == 1
    out.write_text('{"problem": 10, "completion": "x"}')
    done = invoke("import", out, "--label", "x", *data, "--db", into)
    assert done.code == 1 and "indices 0 to 9" in done.stderr


def test_problems_with_samples_as_in_large_language_monkeys(tmp_path: Path) -> None:
    counts = {"What is 6 * 7?": 3, "Name a prime.": 0, "2 + 2": 8}
    path, into = tmp_path / "m.jsonl", tmp_path / "i.db"
    path.write_text(
        "\n".join(
            json.dumps(
                {"question": q, "samples": [f"s{i}" for i in range(8)], "is_corrects": [i < c for i in range(8)]}
            )
            for q, c in counts.items()
        )
    )
    assert invoke("import", path, "--label", "monkeys", "--model", "a/model", "--db", into).code == 0
    (found,) = passk(into)
    assert (found["model"], found["problems"], found["samples_min"], found["rollouts"]) == ("a/model", 3, 8, 24)
    for point in found["pass_at_k"]:  # type: ignore[attr-defined]
        expected = sum(package.pass_at_k(8, c, point["k"]) for c in counts.values()) / 3
        assert point["estimate"] == pytest.approx(expected, abs=1e-12)
    (session,) = query(into, "SELECT engine, command, outcome FROM session")
    assert json.loads(str(session[0]))["file"] == str(path) and len(json.loads(str(session[0]))["sha256"]) == 64
    assert query(into, "SELECT DISTINCT json_extract(inputs, '$.problem') FROM problem ORDER BY problem_index") == [
        (q,) for q in counts
    ]
    assert invoke("report", "--db", into).code == 0 and invoke("status", "--db", into).code == 0
    other = tmp_path / "o.jsonl"
    other.write_text('{"question": "2 + 2", "samples": ["other"], "is_corrects": [true]}')
    assert invoke("import", other, "--label", "other", "--db", into).code == 0
    assert [c["label"] for c in passk(into)] == ["monkeys", "other"]
    shown = invoke("show", "--db", into, "--problem", 1, "--seed", 0, "--format", "text").stdout
    assert "--- problem\nName a prime.\n--- completion\ns0\n" in shown


def test_rollouts_without_a_task_say_so_and_no_package_is_missing(tmp_path: Path) -> None:
    path, into = tmp_path / "a.jsonl", tmp_path / "i.db"
    path.write_text('{"problem": 200, "completion": "x", "correct": true}')
    assert invoke("import", path, "--label", "theirs", "--db", into).code == 0
    for words in (["passk"], ["passk", "--format", "csv"], ["report"]):
        done = invoke(*words, "--db", into)
        told = " ".join((done.stdout + done.stderr).replace("\\", "").split())
        assert "hese rollouts were imported without a task: no random-guessing curve" in told, told
        assert "with --task and another --label" in told and "install" not in told
    refused = invoke("compare", "null", "theirs", "--db", into).stderr
    assert "it was imported without a task" in refused and "install" not in refused
    assert invoke("import", path, "--label", "again", "--task", "countdown", "--trust", "file", "--db", into).code == 0
    assert invoke("compare", "null", "again", "--db", into).code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no rollout"),
        ("{", "line 1 of .* is not valid JSON"),
        ("[1]", "is not a JSON object"),
        ('{"completion": "x", "correct": true}', "has no valid"),
        ('{"problem": -1, "completion": "x", "correct": true}', "has no valid"),
        ('{"problem": true, "completion": "x", "correct": true}', "has no valid"),
        ('{"problem": 1, "completion": "x"}', "does not say whether it is correct"),
        ('{"problem": 1, "completion": 3, "correct": true}', '"completion" must be a string'),
        ('{"problem": 1, "samples": "abc", "is_corrects": [true]}', '"samples" must be a list'),
        ('{"problem": 1, "samples": ["a"], "is_corrects": [true, false]}', "a list of 1 verdicts"),
        ('{"problem": 1, "completion": "x", "correct": "yes"}', '"correct" must be true or false'),
        ('{"problem": 1, "completion": "x", "correct": true, "seed": 1e3}', '"seed" must be an integer'),
        ('{"problem": 1, "completion": "x", "correct": true, "seed": 9223372036854775808}', '"seed" must be'),
        ('{"problem": 1, "completion": "x", "correct": true, "reward": NaN}', '"reward" must be a number'),
        ('{"problem": 1, "completion": "x", "correct": true}\n\n{', "line 3 of"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"problem": 1, "completion": "x", "correct": true, "reward": 1e999}', '"reward" must be a number'),
        (
            '{"problem": 1, "completion": "x", "correct": true, "reward": 1' + "0" * 400 + "}",
            '"reward" must be a number',
        ),
        ('{"problem": 1, "completion": "x", "correct": true, "seed": 4}\n' * 2, "line 2 of .* repeats seed 4"),
        (
            '{"problem": 1, "completion": "x", "correct": true}\n'
            '{"problem": 1, "completion": "x", "correct": true, "seed": 0}',
            "line 2 of .* repeats seed 0 of problem '1'",
        ),
        (
            '{"problem": 1, "completion": "x", "correct": true, "kind": "perturbation"}',
            "its intervals would be too narrow",
        ),
        (
            '{"problem": 1, "completion": "x", "correct": true, "condition_digest": "a"}\n'
            '{"problem": 2, "completion": "x", "correct": true, "condition_digest": "b"}',
            "line 2 of .* is of condition 'b' and line 1 of 'a'.*import each separately",
        ),
    ],
)
def test_a_file_of_another_form_is_refused_before_anything_is_stored(tmp_path: Path, content: str, said: str) -> None:
    path, into = tmp_path / "bad.jsonl", tmp_path / "i.db"
    path.write_text(content)
    done = invoke("import", path, "--label", "x", "--db", into)
    assert done.code == 1
    assert "Traceback" not in done.stderr
    assert re.search(said, done.stderr), done.stderr
    assert not into.exists()


def test_an_export_of_several_conditions_is_refused_and_says_how_to_pick_one(filled: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.jsonl"
    assert invoke("export", "--db", filled, "-o", out).code == 0
    for data in ([], ["--task", "countdown", "--data", filled.parent / "data.json"]):
        done = invoke("import", out, "--label", "x", *data, "--db", tmp_path / "i.db")
        assert (done.code, "esprobe export --condition" in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "i.db").exists()


def test_finish_reasons_of_other_tools_become_unknown(tmp_path: Path) -> None:
    path, into = tmp_path / "other.jsonl", tmp_path / "i.db"
    reasons = [None, "eos", "'; DROP", 3, [], "stop", "length", "loop", "unknown"]
    rollout = {"problem": 1, "completion": "x", "correct": True}
    path.write_text("\n".join(json.dumps(rollout | {"finish_reason": reason}) for reason in reasons))
    assert invoke("import", path, "--label", "x", "--db", into).code == 0
    stored = [reason for (reason,) in query(into, "SELECT finish_reason FROM rollout ORDER BY seed")]
    assert stored == ["unknown"] * 5 + ["stop", "length", "loop", "unknown"]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    path, into = tmp_path / "marked.jsonl", tmp_path / "i.db"
    path.write_text('{"problem": 1, "completion": "x", "correct": true}\n' * 2, encoding="utf-8-sig")
    done = invoke("import", path, "--label", "x", "--db", into)
    assert done.code == 0, done.stderr
    assert passk(into)[0]["rollouts"] == 2


def test_a_pipe_is_refused_because_it_reads_only_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = invoke("import", tmp_path / "pipe", "--label", "x", "--db", tmp_path / "i.db")
    assert (done.code, "is not a regular file" in done.stderr) == (1, True), done.stderr


def test_another_text_under_one_key_is_refused(tmp_path: Path) -> None:
    path, into = tmp_path / "a.jsonl", tmp_path / "i.db"
    for text, code in (("one", 0), ("other", 1)):
        path.write_text(json.dumps({"problem": 0, "completion": text, "correct": True}))
        done = invoke("import", path, "--label", "x", "--db", into)
        assert done.code == code
    assert "another --label than 'x'" in done.stderr
    assert query(into, "SELECT text FROM completion") == [("one",)]


def test_a_backup_is_whole_and_never_overwrites_by_accident(filled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert invoke("backup", copy, "--db", filled).code == 0
    assert rows(copy) == rows(filled)
    assert passk(copy) == passk(filled)
    assert [path.name for path in tmp_path.iterdir()] == ["copy.db"]
    assert invoke("backup", copy, "--db", filled).code == 2
    shell(copy, "DELETE FROM rollout")
    assert invoke("backup", copy, "--db", filled, "--overwrite").code == 0
    assert rows(copy) == rows(filled)
    for target in (filled, f"{filled}-wal", tmp_path):
        assert invoke("backup", target, "--db", filled, "--overwrite").code == 2
    done = invoke("backup", tmp_path / "no" / "c.db", "--db", filled)
    assert (done.code, f"no folder {tmp_path / 'no'}" in done.stderr) == (1, True)
    assert invoke("backup", tmp_path / "x.db", "--db", tmp_path / "none.db").code == 1
    assert invoke("backup", fill(tmp_path / "o.db"), "--db", filled).code == 2


def test_a_backup_replaces_nothing_but_databases(filled: Path, tmp_path: Path) -> None:
    thesis, empty = tmp_path / "thesis.tex", tmp_path / "empty"
    thesis.write_text("precious")
    empty.touch()
    os.mkfifo(tmp_path / "pipe")
    for target in (thesis, tmp_path / "pipe"):
        done = invoke("backup", target, "--db", filled, "--overwrite")
        assert (done.code, done.stdout, f"{target} is not an SQLite database" in done.stderr) == (2, "", True)
    assert thesis.read_text() == "precious" and (tmp_path / "pipe").is_fifo()
    assert invoke("backup", empty, "--db", filled, "--overwrite").code == 0
    assert rows(empty) == rows(filled)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE completion SET text = text || '!' WHERE id = 7", "has changed"),
        ("DELETE FROM completion WHERE id = 7", "rollouts of condition"),
    ],
)
def test_nothing_is_shown_exported_or_merged_from_texts_that_are_not_as_written(
    filled: Path, tmp_path: Path, damage: str, told: str
) -> None:
    """SQL without its guards stands for damage below it: neither keeps the checksums."""
    damaged = Path(shutil.copy(filled, tmp_path / "damaged.db"))
    shell(damaged, "PRAGMA foreign_keys = OFF", damage)
    for command in (["export", "--output", tmp_path / "out.jsonl"], ["export", "--output", tmp_path / "out.parquet"]):
        done = invoke(*command, "--db", damaged)
        assert (done.code, "is damaged" in done.stderr, told in done.stderr) == (1, True, True), done.stderr
    if told == "has changed":
        done = invoke("show", "--db", damaged, "--format", "text")
        assert (done.code, "is damaged" in done.stderr, "!" in done.stdout) == (1, True, False), done.stderr
    done = invoke("merge", damaged, "--into", tmp_path / "into.db")
    assert (done.code, "is damaged" in done.stderr) == (1, True), done.stderr
    assert not list(tmp_path.glob("out.*")) and not (tmp_path / "into.db").exists()


@given(st.lists(st.integers(0, 30)))
def test_seeds_of_a_file_are_known_again_in_any_order(seeds: list[int]) -> None:
    known, added = SeedSet(), set[int]()
    for seed in seeds:
        assert known.add(seed) is (seed not in added)
        added.add(seed)
    assert [seed for first, last in known._runs for seed in range(first, last + 1)] == sorted(added)


def test_an_import_holds_no_list_of_its_rollouts(tmp_path: Path) -> None:
    """Two files, one ten times as long: what stays in memory must not grow with the rollouts of a problem."""
    most = []
    for samples in (2_000, 20_000):
        rows = tmp_path / f"{samples}.jsonl"
        with rows.open("w") as file:
            file.writelines(
                f'{{"problem": 1, "seed": {s}, "completion": "", "correct": true}}\n' for s in range(samples)
            )
        tracemalloc.start()
        import_rollouts(Source(rows, "far", "m", None, None, None, "import"), tmp_path / f"{samples}.db")
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] < 2 * most[0] + 4_000_000, most  # a batch is 4,096 rollouts


def test_damaged_verdicts_are_not_exported_nor_put_in_the_place_of_a_copy(filled: Path, tmp_path: Path) -> None:
    damaged, copy = tmp_path / "x.db", tmp_path / "copy.db"
    shutil.copy(filled, damaged)
    assert invoke("backup", copy, "--db", damaged).code == 0
    kept = copy.read_bytes()
    shell(damaged, "UPDATE totals SET checksum = checksum + 1")
    for command in (["export", "-o", tmp_path / "e.jsonl"], ["backup", copy, "--overwrite"]):
        done = invoke(*command, "--db", damaged)
        assert (done.code, "is damaged" in done.stderr) == (1, True), done
    assert copy.read_bytes() == kept and not (tmp_path / "e.jsonl").exists()


def test_missing_rollouts_alone_are_no_damage(filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    shutil.copy(filled, path)
    shell(path, "DELETE FROM completion WHERE id = (SELECT completion_id FROM rollout ORDER BY seed DESC LIMIT 1)")
    done = invoke("verify", "--db", path)
    assert done.code == 1 and "is damaged" in done.stderr  # a rollout without its text
    shutil.copy(filled, path)
    with closing(sqlite3.connect(path)) as connection:
        (id_,) = connection.execute("SELECT completion_id FROM rollout ORDER BY seed DESC LIMIT 1").fetchone()
        connection.execute("DELETE FROM rollout WHERE completion_id = ?", (id_,))
        connection.execute("DELETE FROM completion WHERE id = ?", (id_,))
        connection.commit()
    done = invoke("verify", "--db", path)
    assert done.code == 1 and "is incomplete" in done.stderr, done.stderr
