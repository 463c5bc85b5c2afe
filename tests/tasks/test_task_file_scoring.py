"""Extraction and comparison: what each kind finds and accepts, and that no text can make it raise."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esprobe.errors import DataError, UsageError
from esprobe.spec import Problem, Score
from esprobe.tasks import Guessable, WithDefaults
from esprobe.tasks.files.choices import Options, find_label, label_of
from esprobe.tasks.files.comparison import comparison
from esprobe.tasks.files.extraction import extraction
from esprobe.tasks.files.keys import Key
from esprobe.tasks.files.numbers import first_number, last_number
from esprobe.tasks.files.task import FAILURES, FileTask
from tests.tasks.task_files import file_task

pytest.importorskip("yaml")
pytest.importorskip("regex")

CHOICES = {"text": ["a rocket", "12", "A bird", "none"], "label": ["A", "B", "C", "D"]}
OPTIONS = Options(tuple(CHOICES["label"]), tuple(CHOICES["text"]))
EXTRACTIONS: list[Any] = ["boxed", "last-number", "choice", "whole", {"after": "####"}, {"tag": "answer"}]
EXTRACTIONS.append({"regex": r"answer is (\w+)?"})


def find(kind: Any, text: str) -> str | None:
    return extraction(Key(Path("task.yaml"), "extract", kind)).find(text, OPTIONS)


def read(kind: Any, text: str) -> str | None:
    return comparison(Key(Path("task.yaml"), "compare", kind)).read(text, OPTIONS)


def equal(kind: Any, gold: str, answer: str) -> bool:
    compare = comparison(Key(Path("task.yaml"), "compare", kind))
    first, second = compare.read(gold, OPTIONS), compare.read(answer, OPTIONS)
    assert first is not None and second is not None
    return compare.equal(first, second, {})


def judge(task: FileTask, text: str, index: int = 0) -> Score:
    return task.score(task.data_set(None).problems[index], text, task.scorers[0])


# --- extraction


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ({"after": "####"}, "#### 1 so\n#### 2 is it\nDone.", "2 is it"),
        ({"after": "####"}, "####\n\n  5\n6", "5"),
        ({"after": "####"}, "five", None),
        ({"after": "####"}, "####", ""),
        ("boxed", r"\boxed{1} then $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("boxed", r"\boxed{\{1\}}", r"\{1\}"),
        ("boxed", r"\boxed{7}. Check: \boxed{\frac{", "7"),
        ("boxed", r"boxed{7}", None),
        ({"tag": "answer"}, "<answer>1</answer> no <answer> 2 </answer>", "2"),
        ({"tag": "answer"}, "<answer>1</answer> no <answer>2", "1"),
        ({"tag": "answer"}, "</answer><answer>", None),
        ({"regex": r"= (\d+)"}, "= 1, = 2", "2"),
        ({"regex": r"\d+ apples"}, "2 apples, 3 apples", "3 apples"),
        ({"regex": r"x(y)?"}, "xy x", None),
        ("whole", "  a\nb ", "a\nb"),
        ("last-number", "From 3 to 1,234.50.", "1,234.50"),
        ("last-number", "It is −5.", "-5"),
        ("last-number", "10-5", "5"),
        ("last-number", "none", None),
        ("last-number", "so 3 of x52", "3"),
    ],
)
def test_where_an_answer_stands(kind: Any, text: str, found: str | None) -> None:
    assert find(kind, text) == found


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("B.", "B"),
        ("B) 12", "B"),
        ("12", "B"),
        ("a bird", "C"),
        ("Answer: D", "D"),
        ("**Answer: (D)**", "D"),
        (r"The answer is $\boxed{D}$.", "D"),
        ("The answer is A bird", "C"),
        ("The answer is a mystery. Answer: B because 12", "B"),
        ("Is the answer A? The correct answer is option C, I think.", "C"),
        ("Between (A) and (D), I take (D).", "D"),
        ("The answer is a mystery.", None),
        ("A rocket is fast", None),
        ("Bird", None),
        ("Answer: E", None),
        ("", None),
    ],
)
def test_which_choice_a_text_settles_on(text: str, label: str | None) -> None:
    assert find_label(text, OPTIONS) == label


def test_labels_are_those_of_the_data() -> None:
    assert label_of("(1)", Options(("1", "2"), ("2", "x"))) == "1"
    assert label_of("x", Options(("1", "2"), ("2", "x"))) == "2"
    assert label_of("x", Options(("1", "2"), ("x", "x"))) is None


@pytest.mark.parametrize("kind", EXTRACTIONS)
@given(number=st.integers(-(10**9), 10**9))
def test_what_is_written_in_the_form_is_found(kind: Any, number: int) -> None:
    found = extraction(Key(Path("task.yaml"), "extract", kind))
    answer = "C" if kind == "choice" else str(number)
    written = found.write(answer)
    assert written is None or found.find(written, OPTIONS) == answer


# --- comparison


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", "18"),
        ("1,450,000", "1450000"),
        ("$18.00 per day", "18"),
        ("-$3", "-3"),
        ("$-3", "-3"),
        (r"\$32,\!348", "32348"),
        ("x = 5", "5"),
        ("2 + 3 = 5 dollars", "5"),
        ("50%", "50"),
        ("3/4", "3/4"),
        (r"\frac{6}{8}", "3/4"),
        (".25", "1/4"),
        ("1e3", "1000"),
        ("1e-3", "1/1000"),
        ("5kg", "5"),
        ("v1.5 costs 2", "2"),
        ("1/0", None),
        ("1e999", None),
        ("five", None),
        ("x5", None),
    ],
)
def test_numbers(text: str, value: str | None) -> None:
    assert read("number", text) == value


@given(st.fractions(max_denominator=10**6), st.booleans())
def test_a_number_is_read_back(value: Fraction, spaced: bool) -> None:
    assert first_number(f"{'x = ' if spaced else ''}{value}") == value


@given(st.integers(0, 10**15))
def test_separators_of_thousands_change_nothing(number: int) -> None:
    assert read("number", f"{number:,}") == read("number", str(number)) == str(number)
    assert last_number(f"It is ${number:,}.") == f"{number:,}"


@pytest.mark.parametrize(
    ("kind", "gold", "answer", "right"),
    [
        ("exact", "Paris", " Paris\n", True),
        ("exact", "Paris", "paris", False),
        ("text", "Paris", "**paris.**", True),
        ("text", "New  York", "new\nyork", True),
        ("text", "Paris", "Paris, France", False),
        ("number", "5", "5.0", True),
        ("number", "5", "5.1", False),
        ({"number": "0.1"}, "5", "5.1", True),
        ({"number": "0.1"}, "5", "5.11", False),
        ({"number": "1%"}, "-500", "-505", True),
        ({"number": "1%"}, "-500", "-506", False),
        ("choice", "B", "12", True),
        ("choice", "B", "C", False),
    ],
)
def test_when_an_answer_is_right(kind: Any, gold: str, answer: str, right: bool) -> None:
    assert equal(kind, gold, answer) == right


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        (r"\frac{14}{3}", r"\dfrac{28}{6}", True),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\pi/2)", True),
        ("10,080", r"10,\!080", True),
        ("x=5", "5", True),
        (r"\text{Evelyn}", r"\text{Evelyn}", True),
        ("(a+5)(b+2)", "ab+2a+5b+10", True),
        (r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}", r"\begin{pmatrix}-\dfrac{1}{3}\\\frac{4}{6}\end{pmatrix}", True),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}", False),
        (r"(-\infty, 2) \cup (3, \infty)", r"(-\infty,2)\cup(3,\infty)", True),
        (r"30^\circ", "30", True),
        (r"11\sqrt2", r"11 \sqrt{2}", True),
        (r"\frac 59", r"\frac{5}{9}", True),
        ("12", "13", False),
        (r"\frac{1}{2}", r"\frac{1}{3}", False),
        (r"2\sqrt{5}", r"\sqrt{5}", False),
    ],
)
def test_mathematical_equality(gold: str, answer: str, right: bool) -> None:
    pytest.importorskip("math_verify")
    assert equal("math", gold, answer) == right


# --- verdicts


def test_verdicts_and_failure_words(tmp_path: Path) -> None:
    task = file_task(tmp_path)
    assert judge(task, "#### 2") == Score(1.0, True, "2", None)
    assert judge(task, "#### 2.0") == Score(1.0, True, "2", None)
    assert judge(task, "#### 3.50") == Score(0.0, False, "7/2", "wrong")
    assert judge(task, "two") == Score(0.0, False, None, "no-answer")
    assert judge(task, "#### two") == Score(0.0, False, None, "invalid")
    with pytest.raises(UsageError, match=r"no scorer 'number/0'.*--scorer number/"):
        task.score(task.data_set(None).problems[0], "", "number/0")


def test_the_answer_found_decides_the_verdict(tmp_path: Path) -> None:
    task = file_task(tmp_path)
    (problem, *_), (scorer,) = task.data_set(None).problems, task.scorers
    keys = [task.verdict_key(problem, text, scorer) for text in ("#### 2.0", "So\n#### $2", "#### 3", "#### two", "2")]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert task.slow_scorers == {}
    (tmp_path / "judge.py").write_text("def right(answer, gold, row):\n    return True\n")
    slow = file_task(tmp_path, compare={"python": "judge.py:right"})
    assert list(slow.slow_scorers) == list(slow.scorers)


def test_a_list_of_golds_is_any_of_them(tmp_path: Path) -> None:
    task = file_task(tmp_path, [{"q": "Who?", "a": ["J. S. Bach", "Bach"]}], extract="whole", compare="text")
    assert judge(task, "bach.") == Score(1.0, True, "j. s. bach", None)
    assert judge(task, "Händel").failure == "wrong"


def test_the_prefix_is_the_start_of_the_answer(tmp_path: Path) -> None:
    task = file_task(tmp_path, prompt={"user": "{q}", "prefix": "It is #### "})
    assert judge(task, "2").correct


def test_golds_in_running_text(tmp_path: Path) -> None:
    answer = {"text": "{a}", "extract": {"after": "####"}}
    task = file_task(tmp_path, [{"q": "?", "a": "1 + 1\n#### 2"}, {"q": "!", "a": "3"}], answer=answer)
    assert judge(task, "#### 2").correct
    assert judge(task, "#### 3", 1).correct


def test_choices_have_an_exact_chance(tmp_path: Path) -> None:
    rows = [
        {"q": "?", "a": "C", "choices": CHOICES},
        {"q": "!", "a": "x", "choices": {"text": ["x", "y"], "label": ["1", "2"]}},
    ]
    parts: Mapping[str, Any] = {
        "choices": {"text": "choices.text", "label": "choices.label"},
        "extract": "choice",
        "compare": "choice",
        "prompt": {"user": "{q}\n{choices}\n({labels})"},
    }
    task = file_task(tmp_path, rows, **parts)
    assert isinstance(task, Guessable)
    assert isinstance(task, WithDefaults)
    problems = task.data_set(None).problems
    assert task.null_probabilities(problems) == [0.25, 0.5]
    assert task.prompt(problems[1], "chat").messages == (("user", "!\n1) x\n2) y\n(12)"),)
    assert judge(task, "Answer: C") == Score(1.0, True, "C", None)
    assert judge(task, "Answer: 1", 1).correct
    assert not isinstance(file_task(tmp_path), Guessable)


def test_choices_in_columns_and_in_a_list(tmp_path: Path) -> None:
    row = {"q": "?", "a": "y", "one": "x", "two": "y", "both": ["x", "y"]}
    for choices in ("both", ["one", "two"]):
        task = file_task(tmp_path, [row], choices=choices, extract="choice", compare="choice")
        assert judge(task, "(B)") == Score(1.0, True, "B", None)


def test_a_function_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text(
        "def right(answer, gold, row):\n"
        "    return 'yes' if answer == 'raise' else int(answer) % row['mod'] == int(gold)\n"
    )
    rows = [{"q": "?", "a": "2", "mod": 5}]
    task = file_task(tmp_path, rows, compare={"python": "judge.py:right"})
    assert judge(task, "#### 7") == Score(1.0, True, "2", None)
    assert judge(task, "#### 8").failure == "wrong"
    with pytest.raises(TypeError, match="right must return True or False, got 'yes'"):
        judge(task, "#### raise")


# --- any text

PIECES = [
    "\\boxed{",
    "{",
    "}",
    "\\",
    "####",
    "<answer>",
    "</answer>",
    "answer is ",
    "(A)",
    "1,000",
    "-",
    "/0",
    "=",
    "e9",
]
JUNK = st.one_of(
    st.text(), st.lists(st.sampled_from([*PIECES, "\ud800", "\0", "$", "\n", "9" * 30]), max_size=30).map("".join)
)
COMPARISONS: list[Any] = ["exact", "number", "text", "choice", {"number": "1%"}]


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("extract", EXTRACTIONS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=JUNK)
def test_no_text_raises(tmp_path: Path, extract: Any, compare: Any, text: str) -> None:
    rows = [{"q": "?", "a": "C", "choices": CHOICES}]
    choices = {"text": "choices.text", "label": "choices.label"}
    key = (str(extract), str(compare))
    if key not in TASKS:
        TASKS[key] = file_task(tmp_path, rows, extract=extract, compare=compare, choices=choices)
    verdict = TASKS[key].score(Problem(0, rows[0], "all"), text, TASKS[key].scorers[0])
    assert verdict.correct == (verdict.failure is None)
    assert verdict.failure is None or verdict.failure in FAILURES


TASKS: dict[tuple[str, str], FileTask] = {}


@pytest.mark.parametrize("extract", EXTRACTIONS)
@pytest.mark.parametrize("piece", [*PIECES, "9", " ", "a", ".", "1,", "(A) ", "\n", "9 "])
def test_a_megabyte_of_one_thing_ends(extract: Any, piece: str) -> None:
    found = find(extract, piece * (1_000_000 // len(piece)))
    if found is not None:
        for kind in COMPARISONS:
            read(kind, found)


def test_an_expression_without_end_is_a_timeout(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("math_verify")
    task = file_task(tmp_path, [{"q": "?", "a": "\\frac{1}{2}"}], extract="whole", compare="math")
    assert judge(task, "9^{9^{9^{9^9}}}").failure == "timeout"
    assert judge(task, "1/2").correct
    assert capfd.readouterr().err == ""


def test_a_regular_expression_without_end_is_a_timeout(tmp_path: Path) -> None:
    endless = {"regex": "((a|aa)+)b"}
    task = file_task(tmp_path, extract=endless)
    problem = task.data_set(None).problems[0]
    text = "a" * 60
    assert judge(task, text) == Score(0.0, False, None, "timeout")
    assert judge(task, "x" + "a" * 9 + "b").failure == "invalid"
    assert task.verdict_key(problem, text, task.scorers[0]) != task.verdict_key(problem, "a", task.scorers[0])
    rows = [{"q": "1", "a": "ab"}, {"q": "2", "a": text}]
    slow = file_task(tmp_path, rows, answer={"text": "{a}", "extract": endless})
    with pytest.raises(DataError, match=r"row 1: answer\.extract searches its gold text 'aa.*for too long"):
        slow.data_set(None)


def test_math_is_not_asked_about_long_answers() -> None:
    pytest.importorskip("math_verify")
    assert read("math", "1+" * 300) is None


@given(text=JUNK.filter(lambda text: len(text) < 40))
@settings(max_examples=60, deadline=None)
def test_no_text_makes_math_raise(text: str) -> None:
    pytest.importorskip("math_verify")
    compare = comparison(Key(Path("task.yaml"), "compare", "math"))
    answer = compare.read(text, None)
    if answer is not None:
        compare.equal(r"\frac{1}{2}", answer, {})
