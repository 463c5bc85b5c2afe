"""The keys of a task file: what each means, and the one line that each mistake is."""

import sys
from pathlib import Path
from typing import Any

import pytest

from esprobe.errors import DataError, LibraryError, UsageError
from esprobe.tasks import TaskDefaults, load_task
from esprobe.tasks.files import load_file
from tests.tasks.task_files import ROWS, file_task, write_rows, write_task

pytest.importorskip("yaml")
pytest.importorskip("regex")


def refused(path: Path, *words: str, data: bool = False) -> None:
    with pytest.raises(DataError) as caught:
        task = load_task(str(path))
        if data:
            task.data_set(None)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nmae": "x"}, ["nmae", "did you mean name?", "allowed: name, about"]),
        ({"name": None}, ["no name", "name: my-task"]),
        ({"name": "two words"}, ["name is 'two words'", "letters"]),
        ({"prompt": None}, ["no prompt"]),
        ({"prompt": "{q}"}, ["prompt is '{q}'", "mapping of: system, user"]),
        ({"prompt": {"user": "{q}", "sytem": "x"}}, ["prompt has the key sytem", "did you mean system?"]),
        ({"prompt": {"user": "{q"}}, ["prompt.user is '{q'", "{{ and }}"]),
        ({"prompt": {"user": "box {}"}}, ["prompt.user", "{{ and }}"]),
        ({"prompt": {"user": {"q": None}}}, ["prompt.user", "needs quotes"]),
        ({"prompt": {"user": []}}, ["prompt.user", "at least one"]),
        ({"prompt": {"user": [{"a": "b"}]}}, ["prompt.user[0]", "must be a text"]),
        ({"prompt": {"user": "{q}", "examples": "first 2 of train"}}, ["prompt.examples", "prompt.reply"]),
        ({"prompt": {"user": "{q}", "reply": "{a}", "examples": "first 2 of train"}}, ["prompt.examples", "train"]),
        ({"prompt": {"user": "{q}", "reply": "{a}"}}, ["prompt.reply", "first N of train"]),
        ({"prompt": {"user": "{q}", "examples": "some"}}, ["prompt.examples is 'some'", "first N of train"]),
        (
            {"prompt": {"user": "{q}", "examples": [{"user": "x"}]}},
            ["no prompt.examples[0].assistant, and every example needs it"],
        ),
        ({"answer": None}, ["no answer, and every task needs it"]),
        ({"answer": {"answer": None}}, ["answer has the key answer", "a text that begins with { needs quotes"]),
        ({"answer": {"text": "{a}"}}, ["no answer.extract"]),
        ({"answer": {"text": "{a}", "extract": "boxes"}}, ["answer.extract is 'boxes'", "did you mean boxed?"]),
        ({"extract": "last"}, ["extract is 'last'", "allowed: boxed, last-number"]),
        ({"extract": "after"}, ["extract is 'after'", "{after: ...}"]),
        ({"extract": {"after": "#", "tag": "a"}}, ["extract is", "only one of after and tag is allowed"]),
        ({"extract": {"aftr": "#"}}, ["extract is", "did you mean after?"]),
        ({"extract": {"boxed": None}}, ["write extract: boxed"]),
        ({"extract": {"after": ""}}, ["extract.after is empty", "extract: after needs it"]),
        ({"extract": {"regex": ""}}, ["extract.regex is empty"]),
        ({"extract": {"tag": "<answer>"}}, ["extract.tag is '<answer>'", "without brackets"]),
        ({"extract": {"regex": "("}}, ["extract.regex is '('", "not a regular expression"]),
        ({"extract": {"after": ["#"]}}, ["extract.after is ['#']", "must be a text"]),
        ({"compare": "numbers"}, ["compare is 'numbers'", "did you mean number?"]),
        ({"compare": {"number": "much"}}, ["compare.number is 'much'", "0.01"]),
        ({"compare": {"text": "1"}}, ["compare is {'text': '1'}", "allowed: exact, number"]),
        ({"compare": {"number": "1", "text": None}}, ["compare has the key text", "allowed: number"]),
        ({"compare": {"number": None}}, ["compare.number is empty", "compare: number needs it"]),
        ({"compare": {"python": "judge.py"}}, ["compare.python is 'judge.py'", "FILE.py:FUNCTION"]),
        ({"compare": {"python": "none.py:f"}}, ["compare.python", "cannot be read"]),
        ({"compare": "choice"}, ["no choices, and compare: choice needs it"]),
        ({"extract": "choice"}, ["no choices, and extract: choice needs it"]),
        ({"choices": ["a"]}, ["choices is ['a']", "2 to 26"]),
        ({"choices": {"label": "x"}}, ["no choices.text"]),
        ({"train": "5"}, ["train is '5'", "FIRST:STOP"]),
        ({"train": "5:5"}, ["train is '5:5'"]),
        ({"max_tokens": "0"}, ["max_tokens is '0'", "positive"]),
        ({"max_tokens": "many"}, ["max_tokens is 'many'"]),
        ({"data": {"hub": "a/b"}}, ["no data.split, and a data set of the hub needs it"]),
        ({"data": {"hub": "a/b", "split": "test", "version": "1"}}, ["data has the key version", "revision"]),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    refused(write_task(tmp_path, **changes), "task.yaml", *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", ["not valid YAML", "line 1"]),
        ('name: x\ndata: "C:\\data\\q.jsonl"', ["line 2", "single quotes", "with /"]),
        ("name: x\nprompt:\n\tuser: x", ["line 3", "spaces"]),
        ("name: x\nanswer: {a} + 1", ["line 2", "hold { or a colon need quotes"]),
        ("name: x\nabout: a: b", ["line 2", "hold { or a colon need quotes"]),
        ('name: x\nabout: "a\ngroup: b', ["line 2", "close each quote"]),
        ('name: "x\nabout: "y"', ["line 2", "close each quote"]),
        ("name: x\nabout: \x00", ["line 2", "special characters"]),
        ("about: @x", ["line 1", "begins with % @"]),
        ("name: a\nname: b", ["key name twice", "lines 1 and 2"]),
        ("- a", ["must be a mapping"]),
        ("? {q}\n: 1", ["line 1", "a key must be a word"]),
        ("name: !!python/object/apply:os.system [ls]", ["not valid YAML"]),
    ],
)
def test_a_file_of_another_form(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(text)
    refused(path, *words)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    refused(tmp_path / "none.yaml", "none.yaml", "cannot be read", "--task")
    (tmp_path / "latin.yml").write_bytes(b"name: caf\xe9")
    refused(tmp_path / "latin.yml", "not UTF-8", "0xe9", "save it as UTF-8")


def test_a_python_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = write_task(tmp_path, compare={"python": "judge.py:right"})
    (tmp_path / "judge.py").write_text("1 / 0")
    refused(path, "judge.py", "ZeroDivisionError")
    (tmp_path / "judge.py").write_text("import sys\nsys.exit(3)")
    refused(path, "judge.py", "SystemExit: 3")
    (tmp_path / "judge.py").write_text("wrong = 1")
    refused(path, "no function right")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": {"user": "{question}"}}, ["rows.jsonl, row 0", "'question'", "prompt.user", "its columns: q, a"]),
        ({"answer": "{A}"}, ["'A'", "did you mean a?"]),
        ({"data": None}, ["task sums names no data", "--data"]),
        ({"data": None, "about": "ask the teacher"}, ["ask the teacher"]),
        ({"data": "none.csv"}, ["none.csv", "cannot be read"]),
        ({"data": "rows"}, ["its form is unknown", ".jsonl"]),
    ],
)
def test_what_the_data_lack_is_one_line(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    write_rows(tmp_path)
    refused(write_task(tmp_path, **changes), *words, data=True)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"q": None, "a": "1"}, ["row 3", "'q'", "empty", "give it a value, or remove the row"]),
        ({"q": "x", "a": float("nan")}, ["row 3", "'a' is NaN", "give it a value, or remove the row"]),
        ({"q": ["x"], "a": "1"}, ["row 3", "'q'", "a list"]),
        ({"q": "x"}, ["row 3", "'a'"]),
        ({"q": "\ud800", "a": "1"}, ["row 3", "surrogate"]),
    ],
)
def test_a_row_that_cannot_be_asked_is_named(tmp_path: Path, row: dict[str, Any], words: list[str]) -> None:
    write_rows(tmp_path, [*ROWS, row])
    refused(write_task(tmp_path), *words, data=True)


def test_the_name_of_a_built_in_task_is_refused(tmp_path: Path) -> None:
    refused(write_task(tmp_path, name="countdown"), "task.yaml: name is 'countdown'", "built-in", "rename")


@pytest.mark.parametrize(
    ("text", "said"),
    [("q;a\n1 + 1;2\n", "separated by ';'"), ("q\ta\n1\t2\n", "rename it .tsv"), ("q;a\n1;2,5\n", "separated by ';'")],
)
def test_a_table_with_another_separator_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    refused(write_task(tmp_path, data="rows.csv"), "rows.csv", said, data=True)


def test_a_regular_expression_says_which_library_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)  # as where it is not installed
    with pytest.raises(LibraryError, match=r"extract\.regex needs the library regex.*pip install regex"):
        load_task(str(write_task(tmp_path, extract={"regex": "x"})))


def test_scalars_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(
        'name: 007\nprompt: {user: "{q}", system: no}\nanswer: 010\nextract: whole\ncompare: exact\ntrain: 10:30\n'
    )
    task = load_task(str(tmp_path / "task.yaml"))
    assert task.name == "007"
    problem = task.data_set(str(write_rows(tmp_path))).problems[0]
    assert task.prompt(problem, "chat").messages[0] == ("system", "no")
    assert task.score(problem, "010", task.scorers[0]).correct


def test_prompts(tmp_path: Path) -> None:
    prompt = {
        "system": "Add {{numbers}}.",
        "user": ["{missing}", "{q}?"],
        "prefix": "{q} =",
        "examples": [{"user": "0?", "assistant": "0 {q}"}],
    }
    task = file_task(tmp_path, prompt=prompt)
    problem = task.data_set(None).problems[1]
    chat = task.prompt(problem, "chat")
    assert chat.messages == (
        ("system", "Add {numbers}."),
        *(("user", "0?"), ("assistant", "0 {q}")),
        ("user", "2 + 3?"),
    )
    assert chat.assistant_prefix == "2 + 3 ="
    raw = task.prompt(problem, "raw")
    assert (raw.messages, raw.assistant_prefix) == ((), "Add {numbers}.\n\n0?\n0 {q}\n\n2 + 3?\n2 + 3 =")
    with pytest.raises(UsageError, match="--prompt chat or raw"):
        task.prompt(problem, "loud")


def test_examples_are_the_first_training_problems(tmp_path: Path) -> None:
    prompt = {"user": "{q}", "reply": "{a}!", "examples": "first 2 of train"}
    task = file_task(tmp_path, prompt=prompt, train="1:3")
    problem = task.data_set(None).problems[0]
    shown = (("user", "2 + 3"), ("assistant", "5!"), ("user", "7 * 6"), ("assistant", "42!"), ("user", "1 + 1"))
    assert task.prompt(problem, "chat").messages == shown
    with pytest.raises(DataError, match="have not been read"):
        file_task(tmp_path, prompt=prompt, train="1:3").prompt(problem, "chat")
    with pytest.raises(DataError, match="has 1 there"):
        file_task(tmp_path, prompt=prompt, train="2:3").data_set(None)


def test_only_what_is_shown_is_stored_and_all_is_digested(tmp_path: Path) -> None:
    task = file_task(tmp_path, [{**row, "id": 1, "level": n} for n, row in enumerate(ROWS)], group="level {level}")
    before = task.data_set(None)
    assert before.problems[1].inputs == {"q": "2 + 3", "a": "5", "level": 1}
    assert before.problems[1].group == "level 1"
    after = file_task(tmp_path, [{**row, "id": 2, "level": n} for n, row in enumerate(ROWS)]).data_set(None)
    assert after.digest != before.digest


def test_defaults(tmp_path: Path) -> None:
    task = file_task(tmp_path, train="0:1", max_tokens="64")
    assert task.defaults == TaskDefaults(training=(0, 1), max_tokens=64)
    assert task.defaults.sampled(3) == (1, 3)
    assert file_task(tmp_path, train="2:9").defaults.sampled(3) == (0, 2)
    assert file_task(tmp_path, train="1:2").defaults.sampled(3) == (0, 3)
    assert file_task(tmp_path, train="7:9").defaults.sampled(3) == (0, 3)
    with pytest.raises(UsageError, match="train 0:9 covers all 3 problems .* --problems FIRST:STOP"):
        file_task(tmp_path, train="0:9").defaults.sampled(3)
    assert file_task(tmp_path, problems="1:2").defaults.sampled(3) == (1, 2)


def test_the_scorers_name_changes_with_what_decides_a_verdict(tmp_path: Path) -> None:
    def scorer(**changes: Any) -> str:
        task = file_task(tmp_path, **changes)
        (name,) = task.scorers
        assert name.partition("/")[2] == task.source_digest[:12]
        return name

    (tmp_path / "judge.py").write_text("def right(answer, gold, row):\n    return answer == gold\n")
    python = {"compare": {"python": "judge.py:right"}}
    before = scorer(**python)
    assert scorer() == scorer(name="other", prompt={"user": "Now: {q}"}, train="0:1")
    (tmp_path / "judge.py").write_text("def right(answer, gold, row):\n    return answer != gold\n")
    assert scorer(**python) != before
    several = [
        scorer(),
        scorer(extract="last-number"),
        scorer(extract={"after": "##"}),
        scorer(compare={"number": "0.1"}),
        scorer(compare={"number": "10%"}),
        scorer(compare="text"),
        scorer(answer="{q}"),
    ]
    assert len(set(several)) == len(several)


def test_names_that_are_not_files_are_looked_up(tmp_path: Path) -> None:
    assert load_task("gsm8k").name == "gsm8k"
    with pytest.raises(UsageError, match=r"known tasks: .*countdown.*gsm8k.*\.yaml"):
        load_task("gsm9k")


@pytest.mark.parametrize("written", [r"\boxed{{}}", r"\frac{{1}}{{2}}", r"3 \times 4", r"\right"])
def test_latex_in_double_quotes_is_told_from_an_escape(tmp_path: Path, written: str) -> None:
    path = write_task(tmp_path)
    path.write_text(path.read_text().replace('"{q} = ?"', f'"{{q}} {written}"'))
    with pytest.raises(DataError, match=r"line 1: .* holds the control character .*; write it twice"):
        load_file(path)
    path.write_text(path.read_text().replace(written, written.replace("\\", "\\\\")))
    assert load_file(path).name == "sums"


def test_a_built_in_name_is_taken(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name is 'gsm8k', as a built-in task's is"):
        load_task(str(write_task(tmp_path, name="gsm8k")))
