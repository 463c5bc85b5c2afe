"""``data show`` prints what a model is given."""

from tests.conftest import Run


def test_the_messages_are_shown_without_a_model(esprobe: Run) -> None:
    shown = esprobe("data", "show", "--problem", "3")
    assert shown.returncode == 0
    roles = [line.partition(":")[0] for line in shown.stdout.splitlines()]
    assert roles == ["system", "user", "assistant", "<think>"]
    assert "problem 3 of generated" in shown.stderr


def test_a_model_sees_its_template(esprobe: Run) -> None:
    from esprobe.engines.checkpoint import find_checkpoint
    from esprobe.engines.prompt_codec import PromptCodec
    from esprobe.tasks import load_task

    task = load_task("countdown")
    prompt = task.prompt(task.data_set(None).problems[3], "chat")
    codec = PromptCodec(find_checkpoint("tiny"))
    shown = esprobe("data", "show", "--problem", "3", "--model", "tiny")
    assert shown.returncode == 0
    seen = codec._tokenizer(shown.stdout.removesuffix("\n"), add_special_tokens=False)["input_ids"]
    assert seen == codec.encode(prompt)
    assert f"{len(seen)} tokens" in shown.stderr


def test_what_is_not_there_is_named(esprobe: Run) -> None:
    for words, said in (
        (("--problem", "2200"), "--problem must be from 0 to 2199"),
        (("--prompt", "poem"), "--prompt must be chat or raw"),
        (("--task", "nothing"), "no task is called 'nothing'"),
    ):
        refused = esprobe("data", "show", *words)
        assert (refused.returncode, refused.stdout) == (2, "") and said in refused.stderr
