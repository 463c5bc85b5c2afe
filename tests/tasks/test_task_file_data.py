"""Rows of every format are the same rows; what is no data is one line."""

import csv
import json
from pathlib import Path

import pytest

from esprobe.errors import DataError
from esprobe.tasks.files.rows import plain, read_rows
from tests.tasks.task_files import file_task

pytest.importorskip("yaml")

ROWS = [{"q": 'He said "1,\u2028\n2"', "a": "3"}, {"q": "Größe?", "a": "#### 1,000"}]


def write(path: Path) -> Path:
    """The rows in the format of the path's ending."""
    if path.suffix in (".jsonl", ".ndjson"):
        path.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS), encoding="utf-8-sig")
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            table = csv.DictWriter(file, ["q", "a"], delimiter="," if path.suffix == ".csv" else "\t")
            table.writeheader()
            table.writerows(ROWS)
    elif path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pytest.importorskip("pyarrow").Table.from_pylist(ROWS), path)
    else:
        pa = pytest.importorskip("pyarrow")
        table = pa.Table.from_pylist(ROWS)
        make = pa.ipc.new_file if path.stem == "file" else pa.ipc.new_stream
        with make(str(path), table.schema) as out:
            out.write_table(table)
    return path


NAMES = ["r.jsonl", "r.ndjson", "r.json", "r.csv", "r.tsv", "R.JSONL", "r.parquet", "file.arrow", "stream.arrow"]


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    if name.isupper():
        write(tmp_path / name.lower()).rename(tmp_path / name)
        assert read_rows(tmp_path / name) == ROWS
    else:
        assert read_rows(write(tmp_path / name)) == ROWS


def test_a_folder_that_datasets_wrote(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    whole = datasets.Dataset.from_list(ROWS)
    whole.save_to_disk(tmp_path / "one", num_shards=2)
    assert read_rows(tmp_path / "one") == ROWS
    datasets.DatasetDict({"train": whole, "test": whole}).save_to_disk(tmp_path / "splits")
    with pytest.raises(DataError, match=r"several splits \(test, train\)"):
        read_rows(tmp_path / "splits")
    assert read_rows(tmp_path / "splits" / "test") == ROWS


def test_a_data_set_by_its_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    write(tmp_path / "set" / "test.jsonl")
    # To the library a folder's path is as good an id as one of the hub.
    task = file_task(tmp_path, data={"hub": str(tmp_path / "set"), "split": "test"})
    data = task.data_set(None)
    assert [problem.inputs for problem in data.problems] == ROWS
    assert data.digest == task.data_set(str(write(tmp_path / "rows.csv"))).digest
    with pytest.raises(DataError, match=r"task sums reads .*set:train from the hub.*give --data"):
        file_task(tmp_path, data={"hub": str(tmp_path / "set"), "split": "train"}).data_set(None)


def test_paths_are_relative_to_the_task_file_and_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "own.csv")
    monkeypatch.chdir(tmp_path / "elsewhere")
    task = file_task(tmp_path, ROWS)
    assert len(task.data_set(None).problems) == len(task.data_set("own.csv").problems) == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", '{"q": "1"}\n\n[1]\n', ["line 3", "not an object"]),
        ("a.jsonl", '{"q": "1"}\n{"q": \n', ["line 2", "not valid JSON"]),
        ("a.jsonl", '{"q": 1, "q": 2}', ["line 1", "'q' twice"]),
        ("a.jsonl", "[" * 200_000, ["line 1", "not valid JSON"]),
        ("a.json", '{"q": 1}', ["a.json", "list of objects", ".jsonl"]),
        ("a.json", '[{"q": 1}, 2]', ["row 1", "not an object"]),
        ("a.csv", "q,q\n1,2\n", ["column 'q' twice"]),
        ("a.csv", "q,a\n1,2\n1,2,3\n", ["line 3", "3 cells", "double quotes"]),
        ("a.csv", 'q,a\n"1,2\n', ["not valid CSV"]),
        ("a.csv", "q,a\n", ["no rows"]),
        ("a.jsonl", "", ["no rows"]),
        ("a.parquet", "nothing", ["a.parquet", "cannot be read"]),
        ("a.arrow", "nothing", ["a.arrow", "cannot be read"]),
        ("a.txt", "nothing", [".txt", "its form is unknown"]),
    ],
)
def test_what_is_no_data_is_one_line(tmp_path: Path, name: str, text: str, words: list[str]) -> None:
    if name.endswith((".parquet", ".arrow")):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / name)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"q,a\ncaf\xe9,1\n")
    with pytest.raises(DataError, match="not UTF-8 .*0xe9 at offset 7"):
        read_rows(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"without state\.json"):
        read_rows(tmp_path)
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(DataError, match="lists no data files"):
        read_rows(tmp_path)


def test_values_that_json_lacks() -> None:
    from datetime import date
    from decimal import Decimal

    value = {"d": date(2026, 1, 2), "n": [float("nan"), Decimal("1.50")], "b": b"x", 1: True}
    digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert plain(value) == {"d": "2026-01-02", "n": [None, "1.50"], "b": digest, "1": True}
