import functools
import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esprobe.cache import cache_folder
from esprobe.errors import DataError
from esprobe.tasks import DataSet, load_task
from esprobe.tasks.countdown.data import read_rows
from esprobe.tasks.countdown.download import ES_PAPER_SHA256, ES_PAPER_URLS, fetch
from esprobe.tasks.countdown.generate import candidates, distinct, generated_rows
from esprobe.tasks.countdown.rows import Row, key_of
from esprobe.tasks.countdown.trees import flat

PUBLISHED = Path(__file__).parents[2].parent / "shared" / "data" / "countdown.json"
GENERATED_DIGEST = "da211f695b6bf82543917e34e5f73425db5cc34622be05b399519c0105d6b2ed"
ROW = {"id": 0, "context": "say 98", "numbers": [44, 19, 35], "target": "98", "solution": "((44 + 19) + 35)"}


def load(data: str | None) -> DataSet:
    return load_task("countdown").data_set(data)


@pytest.fixture
def published():
    if not PUBLISHED.exists():
        pytest.skip(f"the published file is not at {PUBLISHED}; its licence keeps it out of the project")
    return PUBLISHED


@pytest.fixture
def write(tmp_path):
    def write_rows(rows, **json_options):
        path = tmp_path / "rows.json"
        path.write_text(json.dumps(rows, **json_options))
        return path

    return write_rows


def exact(expression: str) -> Fraction:
    """The value of a trusted expression, by Python's own parser and exact arithmetic."""
    import ast
    import operator

    operators = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}

    def value(node):
        if isinstance(node, ast.BinOp):
            return operators[type(node.op)](value(node.left), value(node.right))
        assert isinstance(node, ast.Constant)
        return Fraction(node.value)

    return value(ast.parse(expression, mode="eval").body)


class TestGenerated:
    def test_is_the_same_on_every_machine(self):
        data = load("generated")
        assert data.digest == GENERATED_DIGEST
        assert load(None).digest == GENERATED_DIGEST
        assert load_task("countdown").data_set(None).digest == GENERATED_DIGEST
        assert (data.source, load_task("countdown").prompts[0]) == ("generated", "chat")

    def test_has_the_form_of_the_published_file(self):
        data = load(None)
        assert [p.index for p in data.problems] == list(range(2200))
        assert {p.group for p in data.problems} == {"3 numbers", "4 numbers"}
        assert 1000 < sum(p.group == "3 numbers" for p in data.problems) < 1200
        for problem in data.problems:
            assert set(problem.inputs) == {"numbers", "target", "context"}
            assert problem.group == f"{len(problem.inputs['numbers'])} numbers"
            assert all(1 <= n <= 99 for n in problem.inputs["numbers"])
            assert 10 <= int(problem.inputs["target"]) <= 99
        assert len({key_of(p.inputs["numbers"], p.inputs["target"]) for p in data.problems}) == 2200
        json.dumps([dict(p.inputs) for p in data.problems])

    def test_every_problem_is_solved_by_its_own_solution(self):
        for solvable, row in zip(distinct(candidates(20260901)), generated_rows(), strict=False):
            assert (solvable.numbers, str(solvable.target)) == (row.numbers, row.target)
            assert exact(solvable.solution) == solvable.target
            used = "".join(c if c.isdigit() else " " for c in solvable.solution).split()
            assert sorted(map(int, used)) == sorted(solvable.numbers)

    def test_exclusion_drops_problems_and_changes_no_other(self):
        def first(count, excluded=()):
            stream = distinct(candidates(3), excluded)
            return [next(stream) for _ in range(count)]

        plain = first(60)
        dropped = {solvable.key for solvable in plain[::3]}
        assert first(40, dropped) == [solvable for solvable in plain if solvable.key not in dropped]

    def test_contexts_are_worded_as_the_published_ones(self, published):
        from esprobe.tasks.countdown.prompts import published_context

        for row in read_rows(published):
            assert row.context == published_context(row.numbers, row.target)


def trees():
    joined = lambda inner: st.tuples(st.sampled_from("+-*/"), inner, inner)  # noqa: E731
    return st.recursive(st.integers(1, 99), joined, max_leaves=6)


def value_of(tree):
    if isinstance(tree, int):
        return Fraction(tree)
    sign, left, right = tree[0], value_of(tree[1]), value_of(tree[2])
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    return left * right if sign == "*" else left / right


@given(trees())
def test_flat_spelling_keeps_the_value(tree):
    try:
        value = value_of(tree)
    except ZeroDivisionError:
        return
    assert exact(flat(tree)) == value


def test_flat_spelling_is_plain():
    assert flat(("-", 44, ("-", 19, 35))) == "44 + 35 - 19"
    assert flat(("/", ("-", 9, 1), ("/", 2, ("*", 3, 5)))) == "(9 - 1) * 5 * 3 / 2"


class TestDigest:
    def test_does_not_see_formatting_ids_or_solutions(self, write):
        plain = load(str(write([ROW]))).digest
        lean = {key: ROW[key] for key in ("target", "numbers", "context")}
        assert load(str(write([lean], indent=7))).digest == plain

    @pytest.mark.parametrize(
        "change", [{"numbers": [19, 44, 35]}, {"target": "98.0"}, {"context": "say 99"}, {"context": None}]
    )
    def test_sees_all_that_is_prompted_or_scored(self, write, change):
        assert load(str(write([ROW | change]))).digest != load(str(write([ROW]))).digest

    def test_sees_order(self, write):
        rows = [ROW, ROW | {"target": "97"}]
        assert load(str(write(rows))).digest != load(str(write(rows[::-1]))).digest


class TestFile:
    def test_the_published_file_is_read_whole(self, published):
        data = load(str(published))
        assert len(data.problems) == 2200
        assert data.problems[0].inputs["numbers"] == [44, 19, 35]
        assert data.problems[0].inputs["target"] == "98"
        assert sum("." in p.inputs["target"] for p in data.problems) == 43
        assert {p.group for p in data.problems} == {"3 numbers", "4 numbers"}

    def test_targets_keep_their_spelling(self, write):
        targets = ["98", "27.4", "-3", 98, 27.4, "+5", ".5", "1e2"]
        rows = read_rows(write([{"numbers": [1], "target": target} for target in targets]))
        assert [row.target for row in rows] == ["98", "27.4", "-3", "98", "27.4", "+5", ".5", "1e2"]
        assert rows[0] == Row(numbers=(1,), target="98", context=None)

    def test_one_number_is_one_number(self, write):
        assert load(str(write([{"numbers": [5], "target": "5"}]))).problems[0].group == "1 number"

    def test_other_shapes_are_the_same_rows(self, write, tmp_path):
        rows = [{"numbers": [1, 2], "target": 3}, {"numbers": [4, 5, 6], "target": 15}]
        renamed = [{"nums": row["numbers"], "target": row["target"], "\u2028": "\u2028"} for row in rows]
        digest = load(str(write(rows))).digest
        assert load(str(write(renamed))).digest == digest
        assert load(str(write([rows[0], renamed[1]]))).digest == digest
        lines = tmp_path / "rows.jsonl"
        lines.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in renamed) + "\n", encoding="utf-8")
        assert load(str(lines)).digest == digest
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet

        pyarrow.parquet.write_table(pa.Table.from_pylist(renamed), tmp_path / "rows.parquet")
        assert load(str(tmp_path / "rows.parquet")).digest == digest

    def test_a_byte_order_mark_is_no_error(self, tmp_path):
        path = tmp_path / "bom.json"
        path.write_bytes(b"\xef\xbb\xbf" + json.dumps([ROW]).encode())
        assert len(read_rows(path)) == 1


def refused(path, *words):
    with pytest.raises(DataError) as caught:
        load(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    for word in words:
        assert word in message, message
    return message


class TestRefusedFile:
    def test_a_key_that_stands_twice_in_a_row(self, tmp_path):
        path = tmp_path / "twice.json"
        path.write_text('[{"numbers": [1, 2], "target": 3}, {"numbers": [1, 2], "target": 3, "target": 4}]')
        refused(path, "row 1", '"target" twice')

    def test_numbers_by_two_names(self, write):
        refused(write([{"numbers": [1], "nums": [1], "target": 1}]), "row 0", '"numbers" and "nums"')

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('{"nums": [1], "target": 1}\n{"nums": [1]', ["line 2", "not valid JSON"]),
            ('{"nums": [1], "target": 1}\n\n{"nums": [1]}', ["line 3", 'no "target"']),
            ('{"nums": [1], "target": 1}, {"nums": [1], "target": 1}', ["line 1", "not valid JSON"]),
            ("[]", ["line 1", "not an object"]),
            ("\n", ["is empty"]),
        ],
    )
    def test_json_lines(self, tmp_path, text, words):
        path = tmp_path / "rows.jsonl"
        path.write_text(text)
        refused(path, *words)

    def test_missing(self, tmp_path):
        refused(tmp_path / "no.json", "no.json", "generated, es-paper")

    def test_folder(self, tmp_path):
        refused(tmp_path, "is a folder", "--data")

    def test_unknown_home(self):
        refused("~no-such-user-here/rows.json", "home folder")

    def test_impossible_name(self):
        refused("a\0b", "cannot be read")
        refused("x" * 300, "cannot be read")

    def test_endless(self):
        refused("/dev/zero", "not a regular file")

    def test_truncated(self, write):
        path = write([ROW, ROW], indent=1)
        path.write_text(path.read_text()[:-30])
        refused(path, "not valid JSON", "starting at line 22, column 3")

    def test_not_utf8(self, tmp_path):
        path = tmp_path / "latin.json"
        path.write_bytes(b'[{"context": "caf\xe9"}]')
        refused(path, "not UTF-8", "0xe9", "offset 17")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('{"rows": []}', ["an object", "not a list"]),
            ("null", ["null", "not a list"]),
            ("[]", ["empty list"]),
            ("", ["not valid JSON", "line 1, column 1"]),
            ("[" * 200_000, ["too deeply"]),
            ('[{"numbers": [1], "target": ' + "9" * 5000 + "}]", ["integer of thousands of digits"]),
        ],
    )
    def test_not_rows(self, tmp_path, text, words):
        path = tmp_path / "rows.json"
        path.write_text(text)
        refused(path, str(path), *words)

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ([44, 19], ["a list", "not an object"]),
            ("text", ['"text"', "not an object"]),
            ({"target": "98"}, ['no "numbers"']),
            ({"numbers": [1]}, ['no "target"']),
        ],
    )
    def test_row_of_another_shape(self, write, row, words):
        refused(write([ROW, ROW, row]), "row 2", *words)

    @pytest.mark.parametrize(
        ("numbers", "words"),
        [
            ("44 19", ['"44 19"']),
            (None, ["null"]),
            ([], ["0 numbers"]),
            ([1] * 65, ["65 numbers"]),
            ([1, True], ["true"]),
            ([1, 2.0], ["2.0"]),
            ([1, "2"], ['"2"']),
            ([1, None], ["null"]),
            ([1, [2]], ["a list"]),
            ([1, -2], ["-2"]),
            ([1, 10**4000], ["10000", "4001 characters"]),
        ],
    )
    def test_numbers(self, write, numbers, words):
        refused(write([ROW, ROW | {"numbers": numbers}]), "row 1", '"numbers"', *words)

    @pytest.mark.parametrize(
        "target",
        [
            None,
            True,
            [98],
            {},
            "",
            "ninety",
            " 98",
            "98 ",
            "98\n",
            "1_0",
            "1/3",
            "٣",
            "nan",
            "inf",
            "1e400",
            "1e-999999999",
            "9" * 5000,
            float("nan"),
            float("inf"),
            10**4000,
        ],
        ids=lambda target: str(target)[:12] if not isinstance(target, int) else "integer",
    )
    def test_target(self, write, target):
        refused(write([ROW, ROW | {"target": target}]), "row 1", '"target"', "98 or 27.4")

    @pytest.mark.parametrize("context", [5, "", ["x"], False, "\ud800"], ids=repr)
    def test_context(self, write, context):
        refused(write([ROW | {"context": context}]), "row 0", '"context"')


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_no_row_surprises_the_reader(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.json"
    for rows in ([ROW | {field: value} for field in ("numbers", "target", "context")], [value], value):
        for candidate in rows if isinstance(rows, list) else [rows]:
            path.write_text(json.dumps([candidate]))
            try:
                read_rows(path)
            except DataError as error:
                assert str(path) in str(error)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder and the loopback address that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.usefixtures("no_proxy")
class TestDownload:
    CONTENT = json.dumps([ROW]).encode()
    SHA256 = hashlib.sha256(CONTENT).hexdigest()

    def test_once_and_then_from_the_cache(self, served, tmp_path):
        folder, address = served
        (folder / "rows.json").write_bytes(self.CONTENT)
        kept = tmp_path / "cache" / "deep" / "rows.json"
        assert fetch([f"{address}/rows.json"], self.SHA256, kept) == kept
        assert kept.read_bytes() == self.CONTENT
        (folder / "rows.json").unlink()
        assert fetch([f"{address}/rows.json"], self.SHA256, kept) == kept
        assert list(kept.parent.iterdir()) == [kept]

    def test_another_file_is_refused_and_not_kept(self, served, tmp_path):
        folder, address = served
        (folder / "rows.json").write_bytes(self.CONTENT + b" ")
        kept = tmp_path / "cache" / "rows.json"
        with pytest.raises(
            DataError, match=f"{hashlib.sha256(self.CONTENT + b' ').hexdigest()}.*{self.SHA256}.*--data"
        ):
            fetch([f"{address}/rows.json"], self.SHA256, kept)
        assert not kept.exists()

    @pytest.mark.parametrize("first", [None, b"[]"], ids=["absent", "another file"])
    def test_a_second_address_is_tried(self, served, tmp_path, first):
        folder, address = served
        (folder / "second.json").write_bytes(self.CONTENT)
        if first is not None:
            (folder / "first.json").write_bytes(first)
        kept = tmp_path / "cache" / "rows.json"
        fetch([f"{address}/first.json", f"{address}/second.json"], self.SHA256, kept)
        assert kept.read_bytes() == self.CONTENT

    def test_the_second_address_is_not_asked_if_the_first_gives_the_file(self, served, tmp_path):
        folder, address = served
        (folder / "first.json").write_bytes(self.CONTENT)
        kept = tmp_path / "cache" / "rows.json"
        fetch([f"{address}/first.json", "http://127.0.0.1:9/rows.json"], self.SHA256, kept, timeout_s=5)
        assert kept.read_bytes() == self.CONTENT

    def test_an_error_names_each_address_what_it_gave_and_the_checksum(self, served, tmp_path):
        folder, address = served
        (folder / "second.json").write_bytes(b"[]")
        urls = [f"{address}/first.json", f"{address}/second.json"]
        with pytest.raises(DataError) as caught:
            fetch(urls, self.SHA256, tmp_path / "rows.json")
        message = str(caught.value)
        assert f"{urls[0]} (HTTP Error 404" in message
        assert f"{urls[1]} (another file, SHA-256 {hashlib.sha256(b'[]').hexdigest()}" in message
        assert f"download it by hand (SHA-256 {self.SHA256})" in message

    def test_the_published_addresses_are_pinned_to_whole_commits(self):
        for url in ES_PAPER_URLS:
            assert re.fullmatch(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+/countdown\.json", url)

    def test_a_damaged_cache_is_fetched_again(self, tmp_path):
        source, kept = tmp_path / "source.json", tmp_path / "kept.json"
        source.write_bytes(self.CONTENT)
        kept.write_bytes(self.CONTENT[:-5])
        fetch([source.as_uri()], self.SHA256, kept)
        assert kept.read_bytes() == self.CONTENT

    def test_failures_say_what_to_type(self, served, tmp_path):
        _, address = served
        kept = tmp_path / "rows.json"
        for url, reason in [
            (f"{address}/absent.json", "HTTP Error 404"),
            ("http://127.0.0.1:9/rows.json", "refused"),
            ((tmp_path / "absent.json").as_uri(), "No such file"),
        ]:
            with pytest.raises(DataError, match=rf"{url} \(.*{reason}.*download it by hand .*give --data its path"):
                fetch([url], self.SHA256, kept)
        assert not kept.exists()

    def test_a_cache_that_cannot_be_written(self, tmp_path):
        source = tmp_path / "source.json"
        source.write_bytes(self.CONTENT)
        (tmp_path / "file").write_text("")
        with pytest.raises(DataError, match="ESPROBE_CACHE"):
            fetch([source.as_uri()], self.SHA256, tmp_path / "file" / "rows.json")

    def test_the_published_set_from_the_cache(self, published, tmp_path, monkeypatch):
        assert hashlib.sha256(published.read_bytes()).hexdigest() == ES_PAPER_SHA256
        monkeypatch.setenv("ESPROBE_CACHE", str(tmp_path))
        (tmp_path / "es-paper-countdown.json").write_bytes(published.read_bytes())
        data = load("es-paper")
        assert data.source == "es-paper"
        assert data.digest == load(str(published)).digest

    def test_cache_folder_follows_the_environment(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("ESPROBE_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        assert cache_folder() == tmp_path / ".cache" / "esprobe"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_folder() == tmp_path / "xdg" / "esprobe"
        monkeypatch.setenv("ESPROBE_CACHE", str(tmp_path / "own"))
        assert cache_folder() == tmp_path / "own"


def test_without_a_network_the_published_set_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("ESPROBE_CACHE", str(tmp_path))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="could not be downloaded from .*--data its path") as caught:
        load("es-paper")
    message = str(caught.value)
    assert "\n" not in message
    for expected in (*ES_PAPER_URLS, ES_PAPER_SHA256):
        assert message.count(expected) == 1


def test_loading_needs_no_numpy_and_no_torch():
    code = (
        "import sys; from esprobe.tasks import load_task; load_task('countdown').data_set(None).problems; "
        "sys.exit(' '.join({'numpy', 'torch', 'transformers'} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.strip()) == (0, "")
