"""Half a million rows: read and digested quickly, to the same rows and digests as one by one."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esprobe.errors import DataError
from esprobe.spec import Problem, Prompt, digest_of
from esprobe.tasks import DataSet, load_task
from esprobe.tasks.countdown import CountdownTask
from esprobe.tasks.countdown.data import row_of
from esprobe.tasks.countdown.problems import Problems
from esprobe.tasks.countdown.quick_rows import quick_rows
from esprobe.tasks.countdown.rows import Row
from esprobe.tasks.prompts_digest import LEAST_REMEMBERED, prompts_digest

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**53 + 1),
    st.floats(),
    st.sampled_from(["98", "-1.5", "1e9", "1e-99", "1e999", "9" * 65, "x", "", "\ud800", "é"]),
    st.lists(st.one_of(st.integers(-1, 2**53 + 1), st.booleans(), st.text(max_size=1)), max_size=4),
    st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=2),
)
GOOD = st.fixed_dictionaries(
    {
        "numbers": st.lists(st.integers(0, 2**53), min_size=1, max_size=64),
        "target": st.one_of(st.integers(-9, 99), st.sampled_from(["27.4", "-0", "+.5", "1e9"])),
    },
    optional={"context": st.one_of(st.none(), st.text(st.characters(codec="utf-8"), min_size=1)), "id": VALUES},
)
ANY = st.dictionaries(st.sampled_from(["numbers", "target", "context", "id"]), VALUES)


@given(st.lists(st.one_of(GOOD, ANY, VALUES), min_size=1, max_size=4))
def test_quick_rows_are_the_rows_read_one_by_one_or_none(values):
    try:
        expected = [row_of(value, "row") for value in json.loads(json.dumps(values))]
    except DataError:
        expected = None
    found = quick_rows(json.dumps(values))
    assert found is None or found == expected


@given(st.lists(GOOD, min_size=1, max_size=4))
def test_rows_of_the_usual_form_are_read_quickly(values):
    assert quick_rows(json.dumps(values)) == [row_of(value, "row") for value in values]


@pytest.mark.parametrize(
    "text",
    ["", "[", "[]", "{}", "[[1]]", '[{"numbers": [1], "target": 1, "target": 2}]', '[{"numbers": [1]}]', "[" * 9999],
)
def test_what_is_not_of_the_form_is_left_to_the_slower_reader(text):
    assert quick_rows(text) is None


@pytest.mark.parametrize("style", ["chat", "raw"])
@given(
    rows=st.lists(
        st.builds(
            Row,
            st.lists(st.integers(0, 2**53), min_size=1, max_size=64).map(tuple),
            st.sampled_from(["98", "27.4", "-1e9"]),
            st.text(st.characters(codec="utf-8"), min_size=1),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_the_digest_of_all_prompts_is_that_of_the_prompts_one_by_one(rows, style):
    task, problems = load_task("countdown"), Problems(rows)
    expected = digest_of([task.prompt(problem, style).digest for problem in problems])
    assert prompts_digest(task, DataSet("rows", "d", problems), style) == expected
    assert prompts_digest(task, DataSet("rows", "d", tuple(problems)), style) == expected


def test_stored_conditions_of_large_data_keep_their_digests(tmp_path: Path):
    # Digests of the first release: another one would make every stored rollout another condition's.
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"numbers": [n, n + 1, 7], "target": str(n)} for n in range(3000)]))
    task = load_task("countdown")
    data = task.data_set(str(path))
    assert len(data.problems) == 3000
    assert data.digest == "c7f8ec2489beed2b5509a023bf2f98e891a437f50fc464b44bd45cb6c464d62b"
    assert prompts_digest(task, data, "chat") == "9c28c803c26822f9524034155dc44593718408f5ccd1ceddbcbd7348d379dc5b"


def test_problems_are_a_sequence():
    problems = Problems([Row((1, 2), "3", None), Row((4,), "4", "raw")])
    assert [problem.index for problem in problems] == [0, 1]
    assert problems[-1] == problems[1] == problems[1:][0]
    assert problems[1].inputs == {"numbers": [4], "target": "4", "context": "raw"}
    assert [problem.group for problem in problems[:5]] == ["2 numbers", "1 number"]
    with pytest.raises(IndexError):
        problems[2]


@pytest.fixture
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESPROBE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prompts"


class OtherWording(CountdownTask):
    def prompt(self, problem: Problem, style: str) -> Prompt:
        return replace(super().prompt(problem, style), assistant_prefix="Well,")


def test_the_digest_of_many_prompts_is_remembered(remembered: Path):
    rows = [Row((n, 2), str(n), None) for n in range(LEAST_REMEMBERED)]
    task, data = load_task("countdown"), DataSet("rows", "d", Problems(rows))
    expected = digest_of([task.prompt(problem, "chat").digest for problem in data.problems])
    assert prompts_digest(task, data, "chat") == prompts_digest(task, data, "chat") == expected
    (entry,) = remembered.iterdir()
    sound = entry.read_text()
    for damage in ("", "[]", sound.replace(expected, "0" * 64), sound[:40]):
        entry.write_text(damage)
        assert prompts_digest(task, data, "chat") == expected
        assert entry.read_text() == sound
    for other_task, other_data in ((OtherWording(), data), (task, DataSet("rows", "e", data.problems))):
        before = len(list(remembered.iterdir()))
        prompts_digest(other_task, other_data, "chat")
        assert len(list(remembered.iterdir())) == before + 1


def test_the_digest_of_few_prompts_is_not_remembered(remembered: Path):
    prompts_digest(load_task("countdown"), DataSet("rows", "d", Problems([Row((1, 2), "3", None)])), "chat")
    assert not remembered.exists()


def test_reading_and_digesting_takes_little_longer_than_parsing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"numbers": [n, n + 1, 7], "target": str(n % 99)} for n in range(50_000)]))
    task, ratios = load_task("countdown"), []
    for attempt in range(3):  # the best of three: other programs may take the CPU's caches
        monkeypatch.setenv("ESPROBE_CACHE", str(tmp_path / str(attempt)))  # none remembers what another has digested
        started = time.process_time()
        json.loads(path.read_text())
        parsed = time.process_time()
        prompts_digest(task, task.data_set(str(path)), "chat")
        ratios.append((time.process_time() - parsed) / (parsed - started))
    assert min(ratios) < 8, ratios  # 3 to 5; row by row and prompt by prompt it was 12 to 22
