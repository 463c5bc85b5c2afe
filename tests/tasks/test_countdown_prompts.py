import pytest

from esprobe.errors import DataError, UsageError
from esprobe.spec import Problem
from esprobe.tasks.countdown import load
from esprobe.tasks.countdown.prompts import published_context

SYSTEM = (
    "You are a helpful assistant. You first think about the reasoning process in your mind and then provide the "
    "user with the answer."
)
USER = (
    "Using the numbers [44, 19, 35], create an equation that equals 98. You can use basic arithmetic operations "
    "(+, -, *, /) and each number can only be used once. Show your work in <think> </think> tags. And return the "
    "final answer in <answer> </answer> tags, for example <answer> (1 + 2) / 3 </answer>."
)


def problem(**inputs):
    return Problem(index=7, inputs={"numbers": [44, 19, 35], "target": "98"} | inputs, group="3 numbers")


def test_chat_is_word_for_word_the_study_s():
    prompt = load().prompt(problem(), "chat")
    assert prompt.messages == (("system", SYSTEM), ("user", USER))
    assert prompt.assistant_prefix == "Let me solve this step by step.\n<think>"


def test_chat_prints_targets_as_the_file_spells_them():
    task = load()
    for target in ("27.4", "-2640", "98.0"):
        user = task.prompt(problem(target=target), "chat").messages[1][1]
        assert f"that equals {target}. You can" in user


def test_raw_is_the_context_verbatim():
    text = " any text,\n  [44 19 35] é\t"
    prompt = load().prompt(problem(context=text), "raw")
    assert (prompt.messages, prompt.assistant_prefix) == ((), text)


@pytest.mark.parametrize("inputs", [{}, {"context": None}])
def test_raw_without_context_names_the_row(inputs):
    with pytest.raises(DataError, match=r'row 7 has no "context".*--prompt chat'):
        load().prompt(problem(**inputs), "raw")


def test_an_unknown_style_is_a_usage_error():
    with pytest.raises(UsageError, match="'chatty'.*chat or raw"):
        load().prompt(problem(), "chatty")


def test_generated_contexts_pad_numbers_as_numpy_prints_them():
    numpy = pytest.importorskip("numpy")
    for numbers in ([44, 19, 35], [2, 54, 17], [21, 68, 8, 36], [1, 2, 3]):
        context = published_context(numbers, "98")
        assert f"Using the numbers {numpy.array(numbers)}, create" in context
        assert context.startswith(SYSTEM + "Using") and context.endswith(
            "</answer>.Let me solve this step by step.\n<think>"
        )


def test_prompts_of_different_problems_differ():
    task = load()
    for style in task.prompts:
        digests = {task.prompt(p, style).digest for p in task.data_set(None).problems}
        assert len(digests) == 2200
