"""``es-at-scale/1`` and ``lenient/1``: what they take that ``es-paper/1`` does not, and what they do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esprobe.tasks.countdown import score
from tests.tasks import published_reward

NUMBERS, TARGET = [44, 19, 35], "98"


@pytest.mark.parametrize(
    ("completion", "paper", "scale", "lenient"),
    [
        ("<answer>\n44 + 19 + 35 </answer>", "characters", None, None),
        ("<answer>\t44+19+35\r\n</answer>", "characters", None, None),
        ("<answer>44 + 19 + 35 = 98</answer>", "characters", "characters", None),
        ("<answer>98 = 44 + 19 + 35</answer>", "characters", "characters", None),
        ("<answer>44 + 19 + 35.</answer>", "characters", "characters", None),
        ("<answer>\\boxed{44 + 19 + 35}</answer>", "characters", "characters", None),
        ("So $\\boxed{44 + 19 + 35 = 98}$.", "no-answer", "no-answer", None),
        ("<answer>\\[44 + 19 + 35\\]</answer>", "characters", "characters", None),
        ("<answer>44 \u2212 (\u221219) + 35</answer>", "characters", "characters", None),
        ("<answer>44 + 19 + 35 = 97</answer>", "characters", "characters", None),
        ("<answer>44 + 19 = 98</answer>", "characters", "characters", "numbers"),
        ("<answer>The answer is 44 + 19 + 35</answer>", "characters", "characters", "characters"),
        ("<answer>98</answer>", "numbers", "numbers", "numbers"),
        ("\\boxed{44 + 19 + 35", "no-answer", "no-answer", "no-answer"),
        ("44 + 19 + 35", "no-answer", "no-answer", "no-answer"),
    ],
)
def test_forms_are_told_from_inability(
    completion: str, paper: str | None, scale: str | None, lenient: str | None
) -> None:
    verdicts = [score(completion, NUMBERS, TARGET, name) for name in ("es-paper/1", "es-at-scale/1", "lenient/1")]
    assert [verdict.failure for verdict in verdicts] == [paper, scale, lenient]
    # The format is paid for alike: only the answer is read in another way.
    assert len({round(verdict.reward - verdict.correct, 9) for verdict in verdicts}) == 1


@pytest.mark.parametrize(
    ("written", "numbers", "target", "value"),
    [
        ("6 \\times 5 \\div 2", [6, 5, 2], "15", "15"),
        ("6 \u00d7 5 \u00f7 2", [6, 5, 2], "15", "15"),
        ("\\frac{6}{2} \\cdot 5 = 15", [6, 2, 5], "15", "15"),
        ("\\dfrac{\\frac{6}{2}}{5}", [6, 2, 5], "0.6", "3/5"),
        ("\\left(6 + 2\\right) \\times 5", [6, 2, 5], "40", "40"),
        ("[6 + 2] * 5", [6, 2, 5], "40", "40"),
    ],
)
def test_other_ways_to_write_an_expression_have_its_value(
    written: str, numbers: list[int], target: str, value: str
) -> None:
    verdict = score(f"<answer>{written}</answer>", numbers, target, "lenient/1")
    assert (verdict.correct, verdict.answer) == (True, value)


@given(
    around=st.tuples(*[st.text(st.sampled_from(" \n\t\r\u00a0"), max_size=3)] * 2),
    content=st.text(st.sampled_from("12+-*/() \n"), max_size=12),
)
def test_white_space_around_an_answer_is_all_that_es_at_scale_ignores(around: tuple[str, str], content: str) -> None:
    before, after = around
    found = score(f"<answer>{before}{content}{after}</answer>", [1, 2], "3", "es-at-scale/1")
    stripped = (before + content + after).strip()
    assert found.correct == (published_reward.answer_part(f"<answer>{stripped}</answer>", [1, 2], "3") == 1.0)


@given(text=st.text(st.sampled_from("\\boxed{}frac<answer>/1+2=. ()"), max_size=200))
def test_what_es_paper_accepts_lenient_accepts(text: str) -> None:
    for completion in (text, f"<answer>1+2{text}</answer>", f"<answer>{text}</answer>"):
        if score(completion, [1, 2], "3").correct:
            assert score(completion, [1, 2], "3", "lenient/1").correct
