"""What ``esprobe plan`` foretells, held against what a run then takes."""

import json
import random
import re
from pathlib import Path

import pytest

from esprobe.sampling.estimate import TOKEN_BYTES
from tests.sampling.material import invoke, query


def table(stdout: str) -> dict[str, list[str]]:
    lines = stdout.split("\n\n")[0].splitlines()[1:]
    return {label: cells for label, *cells in (re.split(r"\s{2,}", line.strip()) for line in lines)}


def test_without_a_choice_it_plans_the_study_and_needs_no_model(tmp_path: Path) -> None:
    done = invoke("plan", "--db", tmp_path / "new.db", "--workers", "8", "--rate", "20000", "--tokens", "250")
    assert done.code == 0, done.stderr
    found = table(done.stdout)
    temperatures = [f"T={t}" for t in (0.4, 0.6, 0.8, 1)]
    sigmas = [f"sigma={s}" for s in (0.001, 0.003, 0.005, 0.01)]
    assert list(found) == ["greedy", *temperatures, *sigmas, "all"]
    assert found["all"][:4] == ["16,386,000", "0", "16,386,000", f"{16_386_000 * 250:,}"]
    assert f"{16_386_000 * 250 / 20_000 / 8 / 3600:,.1f} hours on 8 workers, at 20,000 tokens/s each" in done.stdout
    assert not (tmp_path / "new.db").exists()


def test_what_is_stored_is_not_owed(common: list[object], db: Path) -> None:
    invoke("sample-temp", *common, "-t", "1", "--samples", "5", "--problems", "0:20")
    found = table(invoke("plan", *common, "-t", "1", "--samples", "8").stdout)
    assert found["greedy"][:3] == ["50", "20", "30"]
    assert found["T=1"][:3] == ["400", "100", "300"]
    invoke("sample-temp", *common, "-t", "1", "--samples", "8")
    found = table(invoke("plan", *common, "-t", "1", "--samples", "8").stdout)
    assert found["all"] == ["450", "450", "0", "0", "0 B"]
    assert invoke("plan", *common, "-t", "1", "--samples", "8").stdout.endswith("\nno rollouts are missing\n")
    again = invoke("plan", *common, "-t", "1", "--samples", "8", "--probe")
    assert (again.stdout.splitlines()[-1], again.stderr) == ("no rollouts are missing", "")
    probed = invoke("plan", *common, "-t", "1", "-t", "2", "--samples", "8", "--probe")
    assert probed.stderr.splitlines()[1:] == ["drawing T=2 for 16 problems"]
    some = invoke("plan", *common, "-t", "1", "-t", "2", "--samples", "8", "--rate", "100", "--tokens", "60").stdout
    assert some.endswith("\n4.0 minutes on 1 worker, at 100 tokens/s each\n")


@pytest.mark.parametrize("arm", [["sample-temp", "-t", "0.5", "-t", "1"], ["sample-perturb", "--sigma", "0.1"]])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_shard_is_planned_as_it_is_drawn(common: list[object], db: Path, arm: list[str], number: int) -> None:
    share = ["--samples", "40", "--shard", f"{number}/3"]
    before = table(invoke("plan", *common, *arm[1:], *share).stdout)
    drawn = invoke(*arm, *common, *share)
    assert drawn.stdout.startswith(f"{before['all'][2]} of {before['all'][2]} rollouts stored")
    after = table(invoke("plan", *common, *arm[1:], *share).stdout)
    counts = dict(
        query(
            db,
            "SELECT CASE c.kind WHEN 'greedy' THEN 'greedy' WHEN 'temperature' THEN printf('T=%g', c.temperature) "
            "ELSE 'sigma=' || c.sigma END, "
            "printf('%d', count(*)) FROM rollouts JOIN condition c ON c.id = condition GROUP BY 1",
        )
    )
    assert {label: cells[1] for label, cells in after.items() if label in counts} == counts
    assert after["all"][:3] == [before["all"][2], before["all"][2], "0"]
    both = table(invoke("plan", *common, "-t", "0.5", "-t", "1", "--sigma", "0.1", *share).stdout)
    assert {label: both[label][0] for label in before if label != "all"} == {
        label: cells[0] for label, cells in before.items() if label != "all"
    }


def test_a_debug_run_is_planned_as_it_is_drawn(common: list[object], db: Path) -> None:
    arm = ["-t", "0.5", "-t", "1", "--debug"]
    assert table(invoke("plan", *common, *arm).stdout)["all"][0] == "660"
    assert invoke("sample-temp", *common, *arm).stdout.startswith("660 of 660 ")


def test_what_decides_who_draws_is_no_hindrance(common: list[object], tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("temperature: [1]\nworkers: 4\nworkers-per-gpu: 2\nray: auto\nshard: 1/2\ndebug: true\n")
    done = invoke("plan", *common, "--config", config, "--rate", "100")
    assert done.code == 0 and " on 4 workers (2 GPUs), " in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rate", "1000"], "25.5 seconds on 1 worker, at"),
        (["--rate", "100"], "4.2 minutes on 1 worker, at"),
        (["--rate", "1000000"], "under a second on 1 worker, at"),
        (["--rate", "1"], "7.1 hours on 1 worker, at"),
        (["--rate", "100", "--workers", "4", "--workers-per-gpu", "2"], "1.1 minutes on 4 workers (2 GPUs), at"),
        (
            ["--engine", "vllm", "--rate", "100", "--workers", "2", "--tensor-parallel-size", "2"],
            "2.1 minutes on 2 workers (4 GPUs), at",
        ),
    ],
)
def test_time_is_told_in_units_that_people_read(common: list[object], options: list[str], told: str) -> None:
    asked = ["-t", "1", "--samples", "1", "--tokens", "510", "--no-baseline"]
    done = invoke("plan", *common, *asked, *options)
    assert told in done.stdout, done.stdout


def test_without_a_rate_hours_are_not_invented(common: list[object]) -> None:
    done = invoke("plan", *common, "-t", "1")
    assert "hours are not known" in done.stdout
    assert "assumed: 341 per completion" in done.stdout
    for typed, told in (("300", "300"), ("0.5", "0.5"), ("341.25", "341.25")):
        assert f"assumed: {told} per completion" in invoke("plan", *common, "-t", "1", "--tokens", typed).stdout
    assert "assumed: 2,667 per completion" in invoke("plan", *common, "-t", "1", "--max-tokens", "8000").stdout
    assert "assumed: 1 per completion" in invoke("plan", *common, "-t", "1", "--max-tokens", "1").stdout


def test_a_probe_foretells_tokens_and_size_and_stores_nothing(common: list[object], db: Path) -> None:
    arm = ["-t", "1", "--sigma", "0.1", "--samples", "64", "--no-baseline"]
    done = invoke("plan", *common, *arm, "--probe", "--probe-problems", "50")
    assert done.code == 0, done.stderr
    assert not db.exists()
    assert done.stderr.splitlines()[1:] == [f"drawing {label} for 50 problems" for label in ("T=1", "sigma=0.1")]
    assert "tokens are measured on 50 problems" in done.stdout and "at the rates measured here" in done.stdout
    invoke("sample-temp", *common, *arm[:2], "--samples", "64", "--no-baseline")
    invoke("sample-perturb", *common, *arm[2:])
    ((tokens,),) = query(db, "SELECT sum(token_count) FROM rollout")
    assert float(table(done.stdout)["all"][3].replace(",", "")) == pytest.approx(tokens, rel=0.1)
    size, unit = table(done.stdout)["all"][4].split()
    foretold = float(size) * {"kB": 1e3, "MB": 1e6}[unit]
    assert foretold == pytest.approx(db.stat().st_size, rel=0.1)


@pytest.mark.parametrize("mean", [100, 1000, 2162, 4000])
@pytest.mark.parametrize("spread", [0, 1], ids=["fixed", "0 to twice the mean"])
def test_the_size_is_foretold_from_tokens_alone(tmp_path: Path, mean: int, spread: int) -> None:
    script = tmp_path / "script.json"
    texts = ["x" * (mean + spread * (mean * n // 50 - mean)) for n in random.Random(1).sample(range(101), 101)]
    script.write_text(json.dumps({"*": texts}))
    common = ["--engine", "scripted", "--model", script, "--db", tmp_path / "e.db", "-t", "1", "--no-baseline"]
    common += ["--problems", "0:100", "--samples", str(max(10, 100_000 // mean // 5))]
    planned = table(invoke("plan", *common, "--tokens", str(mean / TOKEN_BYTES)).stdout)
    done = invoke("sample-temp", *common)
    assert done.code == 0, done.stderr
    size, unit = planned["all"][4].split()
    assert unit == "MB"
    assert float(size) * 1e6 == pytest.approx((tmp_path / "e.db").stat().st_size, rel=0.1)


@pytest.mark.parametrize("wrong", [("--rate", "0"), ("--tokens", "-1"), ("--probe-problems", "0")])
def test_nonsense_is_refused(common: list[object], wrong: tuple[str, str]) -> None:
    done = invoke("plan", *common, *wrong)
    assert (done.code, done.stdout) == (2, "")
    assert f"{wrong[0]} must be positive, got {wrong[1]}" in done.stderr


def test_a_probe_says_how_many_problems_it_drew(common: list[object]) -> None:
    done = invoke("plan", *common, "-t", "1", "--problems", "0:3", "--probe")
    assert "tokens are measured on 3 problems" in done.stdout, done.stderr


def test_tokens_are_measured_or_assumed_and_not_both(common: list[object]) -> None:
    done = invoke("plan", *common, "-t", "1", "--probe", "--tokens", "5")
    assert done.code == 2 and "--probe measures tokens, and --tokens 5 assumes them" in done.stderr


def test_more_tokens_than_a_completion_can_have_are_refused(common: list[object]) -> None:
    done = invoke("plan", *common, "-t", "1", "--max-tokens", "64", "--tokens", "65")
    assert (done.code, done.stdout) == (2, "")
    assert "--tokens must be at most --max-tokens (64), got 65" in done.stderr


@pytest.mark.parametrize("name", ["study", "small"])
def test_what_a_study_writes_down_can_be_planned(name: str, tmp_path: Path, script: Path, data: Path) -> None:
    config = Path(__file__).parents[2] / "docs" / "examples" / f"{name}.yaml"
    instead = ["--engine", "scripted", "--model", script, "--data", data, "--problems", "0:10"]
    done = invoke("plan", "--config", config, "--db", tmp_path / "e.db", *instead)
    assert done.code == 0, done.stderr
    assert "sigma=0.001" in done.stdout and "T=0.6" in done.stdout


def test_a_plan_knows_conditions_by_all_that_they_are(common: list[object]) -> None:
    drawn = ["-t", "1", "--top-p", "0.9", "--samples", "5"]
    invoke("sample-temp", *common, *drawn)
    (label,) = {label for label in table(invoke("plan", *common, *drawn).stdout) if label.startswith("T=1")}
    assert table(invoke("plan", *common, *drawn).stdout)[label][2] == "0"
    assert table(invoke("plan", *common, "-t", "1", "--samples", "5").stdout)["T=1"][2] == "250"


def test_lengths_and_rates_of_what_is_stored_come_before_assumptions(common: list[object], db: Path) -> None:
    invoke("sample-temp", *common, "-t", "1", "--samples", "4")
    mean = {t: m for t, m in query(db, "SELECT temperature, avg(token_count) FROM rollout JOIN condition c ON c.id = "
                                       "condition_id GROUP BY condition_id")}  # fmt: skip
    done = invoke("plan", *common, "-t", "1", "-t", "0.5", "--sigma", "0.01", "--samples", "12")
    found = table(done.stdout)
    assert int(found["T=1"][3].replace(",", "")) == pytest.approx(50 * 8 * mean[1.0], abs=1)
    assert int(found["T=0.5"][3].replace(",", "")) == pytest.approx(50 * 12 * mean[1.0], abs=1)
    (pooled,) = query(db, "SELECT avg(token_count) FROM rollout")[0]
    assert int(found["sigma=0.01"][3].replace(",", "")) == pytest.approx(50 * 12 * pooled, abs=1)
    assert "tokens of T=1 are those stored in" in done.stdout
    assert "tokens of T=0.5, sigma=0.01 are those of other rollouts of this model in" in done.stdout
    assert done.stdout.endswith("at the rates that the database has\n")
    given = invoke("plan", *common, "-t", "1", "--samples", "12", "--tokens", "7", "--rate", "10")
    assert table(given.stdout)["T=1"][3] == f"{50 * 8 * 7:,}" and "at 10 tokens/s each" in given.stdout
    another = invoke("plan", *common, "-t", "1", "--samples", "12", "--max-tokens", "99")
    assert "tokens are assumed: 33 per completion" in another.stdout


def test_a_training_run_is_planned_from_rollouts_of_its_base(common: list[object], db: Path) -> None:
    invoke("sample-perturb", *common, "--sigma", "0.001", "--samples", "4")
    (mean,) = query(db, "SELECT avg(token_count) FROM rollout WHERE seed > 0")[0]
    train = ["--sigma", "0.001", "--iterations", "2", "--population", "4", "--eval-every", "0"]
    done = invoke("plan", "train-es", *common, *train)
    assert done.code == 0, done.stderr
    assert int(table(done.stdout)["2 iterations"][3].replace(",", "")) == pytest.approx(2 * 4 * 50 * mean, abs=1)
    assert "tokens are those of other rollouts of this model in" in done.stdout
