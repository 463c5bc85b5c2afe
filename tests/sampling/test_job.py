"""What no run could mean is refused before anything is made, in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from esprobe.engines import EngineOptions, ModelIdentity
from esprobe.errors import UsageError
from esprobe.spec import Condition
from esprobe.tasks import load_task
from tests.sampling.material import invoke, job

REFUSED = [
    ("sample-temp", ["--samples", "0"], 2, "--samples must be at least 1, got 0"),
    ("sample-temp", ["--samples", "-3"], 2, "--samples must be at least 1, got -3"),
    ("sample-temp", ["--samples", "1000001"], 2, "--samples must be at most 1,000,000, got 1,000,001"),
    ("sample-temp", ["--seed", "-1"], 2, "--seed must be at least 0, got -1"),
    ("sample-temp", ["--seed", str(2**63 - 1), "--samples", "2"], 2, "--seed plus --samples must be at most 2**63"),
    ("sample-temp", ["--max-tokens", "0"], 2, "--max-tokens must be at least 1, got 0"),
    ("sample-temp", ["--batch-size", "0"], 2, "--batch-size"),
    ("sample-temp", ["-t", "0"], 2, "--temperature must be at least 0.01, got 0"),
    ("sample-temp", ["-t", "-1"], 2, "--temperature must be at least 0.01, got -1"),
    ("sample-temp", ["-t", "nan"], 2, "--temperature must be at least 0.01, got nan"),
    ("sample-temp", ["-t", "inf"], 2, "--temperature must be at least 0.01, got inf"),
    ("sample-temp", ["-t", "0.001"], 2, "got 0.001"),
    ("sample-temp", ["-t", "0.8", "-t", "0"], 2, "got 0;"),
    ("sample-temp", ["--top-p", "0"], 2, "--top-p must be in (0, 1], got 0"),
    ("sample-temp", ["--top-p", "1.5"], 2, "--top-p must be in (0, 1], got 1.5"),
    ("sample-temp", ["--top-p", "nan"], 2, "--top-p must be in (0, 1], got nan"),
    ("sample-temp", ["--top-k", "0"], 2, "--top-k must be at least 1, or -1 for all tokens, got 0"),
    ("sample-temp", ["--top-k", "-2"], 2, "got -2"),
    ("sample-perturb", ["--sigma", "nan"], 2, "--sigma must be 0, or a number from 1.18e-38"),
    ("sample-perturb", ["--sigma", "inf"], 2, "such as 0.005, got inf"),
    ("sample-perturb", ["--sigma", "-0.001"], 2, "got -0.001"),
    ("sample-perturb", ["--sigma", "1e38"], 2, "--sigma must be 0, or a number from 1.18e-38"),
    ("sample-perturb", ["--sigma", "1e-320"], 2, "such as 0.005, got 1e-320"),
    ("sample-perturb", ["--sigma", "1.17e-38"], 2, "in float32, which scales the noise, less can be 0) to 1000"),
    ("sample-perturb", ["--sigma", "-0.0"], 2, "got -0.0"),
    ("plan", ["--sigma", "1e-320"], 2, "such as 0.005, got 1e-320"),
    ("sample-perturb", ["--noise", "pink"], 2, "--noise must be iid or tied, got 'pink'"),
    ("sample-perturb", ["--scope", "mlp["], 2, "--scope must be a regular expression such as 'mlp', got 'mlp['"),
    ("sample-temp", ["--workers", "0"], 2, "--workers"),
    ("sample-temp", ["--stuck-timeout", "0"], 2, "--stuck-timeout must be a positive number of seconds, got 0"),
    ("scan", ["--stuck-timeout", "inf"], 2, "--stuck-timeout must be a positive number of seconds, got inf"),
    ("sample-perturb", ["--load-timeout", "-1"], 2, "--load-timeout must be a positive number of seconds, got -1"),
    ("plan", ["--load-timeout", "nan"], 2, "--load-timeout must be a positive number of seconds, got nan"),
    ("sample-temp", ["--stop-loops"], 2, "--stop-loops needs the vllm engine"),
    ("sample-temp", ["--problems", "10"], 2, "--problems must be FIRST:STOP, such as 200:2200, got '10'"),
    ("sample-temp", ["--problems", "a:b"], 2, "got 'a:b'"),
    ("sample-temp", ["--problems", "-2:5"], 2, "got '-2:5'"),
    ("sample-temp", ["--problems", "5:5"], 2, "FIRST < STOP, got 5:5"),
    ("sample-temp", ["--problems", "9:5"], 2, "FIRST < STOP, got 9:5"),
    ("sample-temp", ["--problems", "50:60"], 2, "none of the 50 problems"),
    ("sample-temp", ["--prompt", "poem"], 2, "--prompt must be chat or raw for task countdown, got 'poem'"),
    ("sample-temp", ["--task", "sudoku"], 2, "no task is called 'sudoku'"),
    ("sample-temp", ["--engine", "steam"], 2, "no engine is called 'steam'"),
    ("sample-temp", ["--batch-invariant"], 2, "--batch-invariant"),
    ("sample-temp", ["--tensor-parallel-size", "8"], 2, "--tensor-parallel-size 8"),
    ("sample-perturb", ["--engine", "transformers", "--batch-invariant"], 2, "transformers engine"),
    ("scan", ["--batch-invariant"], 2, "--engine vllm"),
    ("plan", ["--tensor-parallel-size", "2"], 2, "--tensor-parallel-size 2"),
    ("sample-temp", ["--engine", "steam", "--batch-invariant"], 2, "no engine is called 'steam'"),
    (
        "sample-temp",
        ["--dtype", "float12"],
        2,
        "--dtype must be one of auto, float16, bfloat16, float32, got 'float12'",
    ),
    ("sample-temp", ["--data", "none.json"], 1, "file none.json does not exist"),
    ("sample-temp", ["--model", "none.json"], 1, "the script 'none.json' cannot be read"),
]


@pytest.mark.parametrize(("command", "options", "code", "reason"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_value_that_no_run_could_mean_is_refused_and_makes_no_file(
    common: list[object], tmp_path: Path, command: str, options: list[str], code: int, reason: str
) -> None:
    before = sorted(tmp_path.iterdir())
    done = invoke(command, *common, *options)
    assert (done.code, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"*": []}', '{"*": "text"}', '{"*": [1]}', '{"1": ["text"]}'])
def test_a_script_of_another_form_is_refused(common: list[object], script: Path, db: Path, content: str) -> None:
    script.write_text(content)
    done = invoke("sample-temp", *common)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the script ") and done.stderr.count("\n") == 1
    assert not db.exists()


def test_a_slice_may_run_past_the_end_of_the_data(common: list[object]) -> None:
    done = invoke("sample-temp", *common, "--problems", "48:60", "--samples", "3", "-t", "1")
    assert done.code == 0
    assert done.stdout.startswith("8 of 8 rollouts stored ")


def test_the_greatest_seed_can_be_drawn(common: list[object]) -> None:
    done = invoke("sample-temp", *common, "--seed", 2**63 - 1, "--samples", "1", "-t", "1")
    assert done.stdout.startswith("100 of 100 rollouts stored ")


def test_a_condition_asked_for_twice_is_one(script: Path, data: Path) -> None:
    asked = job(script, data, temperatures=(0.5, 1.0, 0.5), samples=7)
    task = load_task("countdown")
    rows = task.data_set(str(data))
    found = [
        (c.label, first, n) for c, first, n in asked.conditions(task, rows, ModelIdentity("m", "f" * 64, "float32"))
    ]
    assert found == [("greedy", 0, 1), ("T=0.5", 42, 7), ("T=1", 42, 7)]


def test_every_setting_that_shapes_the_text_tells_conditions_apart(script: Path, data: Path) -> None:
    task = load_task("countdown")
    rows = task.data_set(str(data))
    jobs = [
        job(script, data, baseline=False, **changes)
        for changes in (
            {},
            {"temperatures": (0.9,)},
            {"top_p": 0.9},
            {"top_k": 50},
            {"max_tokens": 33},
            {"engine": "transformers"},
            {"prompt": "raw"},
            {"temperatures": (), "sigmas": (0.1,)},
            {"temperatures": (), "sigmas": (0.2,)},
            {"temperatures": (), "sigmas": (0.1,), "noise": "tied"},
            {"temperatures": (), "sigmas": (0.1,), "scope": "mlp"},
        )
    ]
    identities = [ModelIdentity("m", "f" * 64, "float32")] * len(jobs)
    jobs += jobs[:2]
    identities += [ModelIdentity("m", "e" * 64, "float32"), ModelIdentity("m", "f" * 64, "float16")]
    drawn = [next(asked.conditions(task, rows, identity))[0] for asked, identity in zip(jobs, identities, strict=True)]
    assert len({condition.digest for condition in drawn}) == len(jobs)


@pytest.mark.parametrize(
    "changes", [{"samples": 9}, {"seed": 7}, {"problems": (3, 5)}, {"options": EngineOptions(batch_size=1)}]
)
def test_how_much_is_drawn_does_not_tell_conditions_apart(script: Path, data: Path, changes: dict[str, object]) -> None:
    task, identity = load_task("countdown"), ModelIdentity("m", "f" * 64, "float32")
    rows = task.data_set(str(data))
    one, other = job(script, data), job(script, data, **changes)
    digests = [[c.digest for c, _, _ in asked.conditions(task, rows, identity)] for asked in (one, other)]
    assert digests[0] == digests[1]


def test_debug_is_twenty_problems_thirty_two_samples_and_the_first_condition(script: Path, data: Path) -> None:
    asked = job(script, data, problems=(5, 50), samples=1024, temperatures=(0.4, 1.0)).debug()
    assert (asked.problems, asked.samples, asked.temperatures) == ((5, 25), 32, (0.4,))
    small = job(script, data, problems=(5, 9), samples=3, temperatures=(), sigmas=(0.1, 0.2)).debug()
    assert (small.problems, small.samples, small.sigmas) == ((5, 9), 3, (0.1,))


def test_a_slice_past_the_end_is_said_with_both_numbers(common: list[object]) -> None:
    done = invoke("sample-temp", *common, "--problems", "40:2200", "--samples", "1", "-t", "1")
    assert done.code == 0
    assert "has 50 problems: 10 are used, not 2,160" in done.stderr
    within = invoke("sample-temp", *common, "--problems", "40:50", "--samples", "1", "-t", "1")
    assert "past the end" not in within.stderr


@pytest.mark.parametrize("sigma", [0.0, 1.18e-38, 1000.0])
def test_the_least_and_the_most_noise_are_taken(script: Path, data: Path, sigma: float) -> None:
    job(script, data, temperatures=(), sigmas=(sigma,))


def test_what_only_vllm_has_is_refused_once_auto_is_another_engine(script: Path, data: Path) -> None:
    """As a run does it: ``auto`` may still become vLLM, and a job whose engine is put in its place is asked again."""
    asked = job(script, data, engine="auto", options=EngineOptions(batch_invariant=True, tensor_parallel_size=2))
    assert replace(asked, engine="vllm").options == asked.options
    with pytest.raises(UsageError, match="--batch-invariant.* transformers engine"):
        replace(asked, engine="transformers")


def test_settings_of_vllms_that_change_only_speed_are_let_through(common: list[object]) -> None:
    speed = ["--max-num-seqs", "8", "--gpu-memory-utilization", "0.5", "--enforce-eager", "--tensor-parallel-size", "1"]
    assert invoke("sample-temp", *common, *speed, "--samples", "1", "-t", "1").code == 0


def test_stop_texts_are_part_of_the_condition_and_absent_without_any(script: Path, data: Path) -> None:
    task = load_task("countdown")
    rows, identity = task.data_set(str(data)), ModelIdentity("m", "f" * 64, "text")

    def greedy(**changes: object) -> Condition:
        return next(job(script, data, **changes).conditions(task, rows, identity))[0]

    plain, stopped = greedy(), greedy(stop=("</answer>", "\n\n"))
    assert "stop" not in plain.identity and plain.digest != stopped.digest
    assert stopped.digest == greedy(stop=("\n\n", "</answer>", "\n\n")).digest
    assert Condition(
        model="m", **{k: v for k, v in json.loads(json.dumps(stopped.identity)).items() if k != "kind"}
    ) == (stopped)
    with pytest.raises(UsageError, match="--stop must be a text"):
        job(script, data, stop=("",))
