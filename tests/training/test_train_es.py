"""``train-es`` from the command line, with the scripted engine: what is stored, resumed, checked and refused."""

import json
import math
import sqlite3
from pathlib import Path

import pytest

from esprobe.es import population
from esprobe.store import RolloutStore
from esprobe.store.training import training_runs, trajectory_of
from tests.conftest import run_esprobe
from tests.sampling.material import query
from tests.training.material import drawn, iterations, members, scripted


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    done = run_esprobe(tmp_path, *scripted(tmp_path, "--iterations", 5, "--db", "es.db"))
    assert done.returncode == 0, done.stderr
    return tmp_path / "es.db"


class TestRun:
    def test_the_update_follows_from_the_stored_rewards(self, trained: Path) -> None:
        assert len(iterations(trained)) == 5
        for number, population_ in enumerate(members(trained)):
            assert [seed for seed, *_ in population_] == [d.seed for d in population(42, number, 4, antithetic=False)]
            for seed, _, fitness, _ in population_:
                ((mean, count),) = query(
                    trained,
                    "SELECT avg(reward), count(*) FROM rollout JOIN condition ON condition.id = condition_id "
                    "WHERE seed = ? AND json_extract(identity, '$.iteration') = ?",
                    seed,
                    number,
                )
                assert count == 10 and fitness == pytest.approx(mean)
            values = [one[2] for one in population_]
            mean, sd = sum(values) / 4, math.sqrt(sum((v - sum(values) / 4) ** 2 for v in values) / 4)
            for value, (*_, coefficient) in zip(values, population_, strict=True):
                assert coefficient == pytest.approx(0.0005 / 4 * (value - mean) / (sd + 1e-8), rel=1e-6, abs=1e-12)

    def test_evaluations_are_greedy_conditions_of_the_trained_models(self, trained: Path) -> None:
        found = query(trained, "SELECT model, count(*) FROM rollouts WHERE kind = 'greedy' GROUP BY model ORDER BY 1")
        base = str(trained.parent / "script.json")
        assert found == [(base, 10), ("es.db:1@2", 10), ("es.db:1@4", 10), ("es.db:1@5", 10)]

    def test_the_same_command_has_nothing_to_do(self, trained: Path) -> None:
        before = drawn(trained)
        done = run_esprobe(trained.parent, *scripted(trained.parent, "--iterations", 5, "--db", "es.db"))
        assert done.returncode == 0 and "nothing to do: all 5 iterations" in done.stdout
        assert "loading" not in done.stderr
        assert drawn(trained) == before

    def test_more_iterations_go_on(self, trained: Path) -> None:
        folder = trained.parent
        done = run_esprobe(folder, *scripted(folder, "--iterations", 7, "--db", "es.db"))
        assert done.returncode == 0, done.stderr
        assert "5 of 7 iterations stored" in done.stderr
        assert run_esprobe(folder, *scripted(folder, "--iterations", 7, "--db", "whole.db")).returncode == 0
        assert iterations(trained) == iterations(folder / "whole.db")

    def test_earlier_models_can_be_evaluated_later(self, trained: Path) -> None:
        folder = trained.parent
        command = scripted(folder, "--iterations", 5, "--db", "es.db")
        command[command.index("--eval-every") + 1] = 1
        assert run_esprobe(folder, *command).returncode == 0
        models = {model for (model,) in query(trained, "SELECT DISTINCT model FROM rollouts WHERE kind = 'greedy'")}
        assert {f"es.db:1@{number}" for number in (1, 2, 3, 4, 5)} < models
        assert len(iterations(trained)) == 5

    def test_fewer_iterations_than_there_are(self, trained: Path) -> None:
        command = scripted(trained.parent, "--iterations", 3, "--db", "es.db")
        command[command.index("--eval-every") + 1] = 1
        done = run_esprobe(trained.parent, *command)
        assert done.returncode == 0 and "3 of 3 iterations stored" in done.stdout
        assert "3 of 3 iterations stored" in done.stderr and "(125" not in done.stderr

    def test_antithetic_pairs(self, tmp_path: Path) -> None:
        assert (
            run_esprobe(tmp_path, *scripted(tmp_path, "--iterations", 2, "--antithetic", "--db", "a.db")).returncode
            == 0
        )
        for pair in members(tmp_path / "a.db"):
            assert [sign for _, sign, *_ in pair] == [1, -1, 1, -1]
        mirrored = "SELECT count(DISTINCT digest) FROM condition WHERE json_extract(identity, '$.mirrored')"
        assert query(tmp_path / "a.db", mirrored) == [(2,)]
        assert run_esprobe(tmp_path, "verify", "--db", "a.db").returncode == 0

    def test_blocks_of_problems(self, tmp_path: Path) -> None:
        command = scripted(tmp_path, "--iterations", 3, "--problems-per-iteration", 4, "--db", "b.db")
        assert run_esprobe(tmp_path, *command).returncode == 0
        blocks = [
            {index for (index,) in query(
                tmp_path / "b.db",
                "SELECT DISTINCT problem_index FROM rollout JOIN problem ON problem.id = problem_id "
                "JOIN condition ON condition.id = condition_id WHERE json_extract(identity, '$.iteration') = ?",
                number,
            )}
            for number in range(3)
        ]  # fmt: skip
        assert [len(block) for block in blocks] == [4, 4, 4]
        assert len(set.union(*blocks)) == 10
        assert run_esprobe(tmp_path, "verify", "--db", "b.db").returncode == 0

    def test_workers_and_one_process_train_the_same_model(self, trained: Path) -> None:
        folder = trained.parent
        command = scripted(folder, "--iterations", 5, "--workers", 2, "--db", "two.db")
        assert run_esprobe(folder, *command).returncode == 0
        assert iterations(folder / "two.db") == iterations(trained)
        assert [row[1:] for row in drawn(folder / "two.db")] == [row[1:] for row in drawn(trained)]

    def test_another_seed_is_another_run(self, trained: Path) -> None:
        folder = trained.parent
        done = run_esprobe(folder, *scripted(folder, "--iterations", 1, "--seed", 43, "--db", "es.db"))
        assert done.returncode == 0
        assert "differs from run 1 in seed (42 there, 43 now)" in done.stderr
        with RolloutStore.open(trained) as store:
            assert [len(run.iterations) for run in training_runs(store)] == [5, 1]


class TestReading:
    def test_status_has_the_run_and_not_its_iterations(self, trained: Path) -> None:
        shown = " ".join(run_esprobe(trained.parent, "status", "--db", "es.db").stdout.split())
        assert "training run 1" in shown and "5 iterations" in shown and "iteration 3" not in shown
        document = json.loads(run_esprobe(trained.parent, "status", "--db", "es.db", "--format", "json").stdout)
        assert document["rollouts"] == len(drawn(trained))
        (run,) = document["training"]
        assert (run["iterations"], run["rollouts"], len(run["mean_fitness"])) == (5, 200, 5)

    def test_passk_has_the_last_evaluation_and_populations_if_asked(self, trained: Path) -> None:
        shown = run_esprobe(trained.parent, "passk", "--db", "es.db").stdout
        assert "es.db:1@5" in shown and "es.db:1@4" not in shown and "iteration" not in shown
        asked = run_esprobe(trained.parent, "passk", "--db", "es.db", "--condition", "training").stdout
        assert "iteration 4" in asked
        (missing,) = {line.split("|")[2].strip() for line in asked.splitlines() if line.startswith("|  missing")}
        assert missing == "0"

    def test_of_replicates_the_first_is_the_trained_model(self, trained: Path) -> None:
        folder = trained.parent
        assert run_esprobe(folder, *scripted(folder, "--iterations", 5, "--seed", 43, "--db", "es.db")).returncode == 0
        compared = run_esprobe(folder, "compare", "--db", "es.db")
        assert compared.returncode == 0 and "the trained model es.db:1@5" in compared.stdout, compared.stderr
        copy = run_esprobe(folder, "backup", "other.db", "--db", "es.db")
        assert copy.returncode == 0, copy.stderr
        named = run_esprobe(folder, "compare", "--db", "other.db", "--trained", "other.db:2@5")
        assert named.returncode == 0 and "the trained model es.db:2@5" in named.stdout, named.stderr

    def test_runs_of_several_recipes_need_names(self, trained: Path) -> None:
        folder = trained.parent
        more = scripted(folder, "--iterations", 1, "--shaping", "rank", "--db", "es.db")
        assert run_esprobe(folder, *more).returncode == 0
        done = run_esprobe(folder, "compare", "--db", "es.db")
        assert done.returncode == 2 and "--base" in done.stderr
        assert "shaping rank" in " ".join(run_esprobe(folder, "status", "--db", "es.db").stdout.split())

    def test_a_file_with_populations_alone(self, tmp_path: Path) -> None:
        command = scripted(tmp_path, "--iterations", 1, "--db", "p.db")
        command[command.index("--eval-every") + 1] = 0
        assert run_esprobe(tmp_path, *command).returncode == 0
        done = run_esprobe(tmp_path, "passk", "--db", "p.db")
        assert done.returncode == 1 and "--condition training" in done.stderr

    def test_merging_brings_the_run(self, trained: Path) -> None:
        folder = trained.parent
        assert run_esprobe(folder, "merge", "es.db", "--into", "merged.db").returncode == 0
        assert iterations(folder / "merged.db") == iterations(trained)
        done = run_esprobe(folder, *scripted(folder, "--iterations", 5, "--db", "merged.db"))
        assert "nothing to do" in done.stdout

    def test_merging_refuses_two_updates_of_one_iteration(self, trained: Path) -> None:
        folder = trained.parent
        assert run_esprobe(folder, *scripted(folder, "--iterations", 2, "--db", "other.db")).returncode == 0
        with sqlite3.connect(folder / "other.db") as other:
            other.execute("UPDATE iteration SET state = 'elsewhere' WHERE iteration = 1")
        done = run_esprobe(folder, "merge", "es.db", "other.db", "--into", "merged.db")
        assert done.returncode == 1 and "iteration 1" in done.stderr


class TestVerify:
    def test_ok(self, trained: Path) -> None:
        done = run_esprobe(trained.parent, "verify", "--all", "--db", "es.db")
        assert done.returncode == 0 and "training: ok" in done.stdout

    @pytest.mark.parametrize(
        ("edit", "found"),
        [
            (
                "UPDATE rollout SET reward = reward + 1 WHERE seed = (SELECT max(seed) FROM rollout)",
                "rewards give fitness",
            ),
            ("UPDATE iteration SET members = replace(members, ', 1, ', ', -1, ') WHERE iteration = 2", "its recipe"),
            ("UPDATE iteration SET trajectory = 'x' || trajectory WHERE iteration = 3", "iteration 3"),
            ("DELETE FROM rollout WHERE seed = (SELECT max(seed) FROM rollout) AND problem_id = 4", "is not stored"),
        ],
    )
    def test_says_where(self, trained: Path, edit: str, found: str) -> None:
        with sqlite3.connect(trained) as connection:
            connection.execute(edit)
        done = run_esprobe(trained.parent, "verify", "--db", "es.db")
        training = done.stdout[done.stdout.index("training:") : done.stdout.index("verdicts:")]
        assert done.returncode == 1 and found in training

    def test_edited_rewards_are_never_gone_on_from(self, trained: Path) -> None:
        with sqlite3.connect(trained) as connection:
            connection.execute("UPDATE rollout SET reward = 1.1 WHERE seed = (SELECT max(seed) FROM rollout)")
        done = run_esprobe(trained.parent, *scripted(trained.parent, "--iterations", 7, "--db", "es.db"))
        assert done.returncode == 1 and "rewards give fitness" in done.stderr
        assert len(iterations(trained)) == 5

    def test_no_reader_takes_a_changed_update(self, trained: Path) -> None:
        with sqlite3.connect(trained) as connection:
            connection.execute("UPDATE iteration SET trajectory = 'x' || trajectory WHERE iteration = 3")
        for command in (["passk"], ["report", "--output", "r.md"], ["status"], ["merge", "es.db", "--into", "m.db"]):
            where = [] if command[0] == "merge" else ["--db", "es.db"]
            done = run_esprobe(trained.parent, *command, *where)
            assert done.returncode == 1 and "iteration 3" in done.stderr, command

    def test_a_changed_update_is_never_gone_on_from(self, trained: Path) -> None:
        with sqlite3.connect(trained) as connection:
            connection.execute("UPDATE iteration SET members = replace(members, '0.', '0.0') WHERE iteration = 2")
        done = run_esprobe(trained.parent, *scripted(trained.parent, "--iterations", 7, "--db", "es.db"))
        assert done.returncode == 1 and "iteration 2 of training run 1" in done.stderr
        assert len(iterations(trained)) == 5


class TestSalvage:
    def test_a_whole_file_keeps_its_runs(self, trained: Path) -> None:
        folder = trained.parent
        done = run_esprobe(folder, "salvage", "es.db", "--into", "new.db")
        assert done.returncode == 0, done.stderr
        assert iterations(folder / "new.db") == iterations(trained)
        assert drawn(folder / "new.db") == drawn(trained)

    def test_an_iteration_that_lost_a_rollout_is_drawn_and_computed_again(self, trained: Path) -> None:
        folder = trained.parent
        before, rollouts = iterations(trained), drawn(trained)
        lost = "SELECT min(id) FROM condition WHERE kind = 'training' AND json_extract(identity, '$.iteration') = 2"
        with sqlite3.connect(trained) as connection:
            connection.execute(f"DELETE FROM rollout WHERE condition_id = ({lost}) AND problem_id = 3")
        assert run_esprobe(folder, "salvage", "es.db", "--into", "new.db").returncode == 0
        assert [row[1] for row in iterations(folder / "new.db")] == [0, 1]
        done = run_esprobe(folder, *scripted(folder, "--iterations", 5, "--db", "new.db"))
        assert done.returncode == 0 and "(4 rollouts now)" in done.stdout, done.stderr
        assert (iterations(folder / "new.db"), drawn(folder / "new.db")) == (before, rollouts)


def test_killed_between_the_last_rollout_and_the_update(trained: Path) -> None:
    folder, before = trained.parent, iterations(trained)
    with sqlite3.connect(trained) as connection:
        connection.execute("DELETE FROM iteration WHERE iteration >= 3")
    done = run_esprobe(folder, *scripted(folder, "--iterations", 5, "--db", "es.db"))
    assert done.returncode == 0 and "(0 rollouts now)" in done.stdout, done.stderr
    assert iterations(trained) == before


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--sigma", 0], "--sigma must be positive"),
            (["--sigma", -0.1], "--sigma must be"),
            (["--alpha", 0], "--alpha must be positive"),
            (["--alpha", -1], "--alpha must be positive"),
            (["--alpha", "nan"], "--alpha must be positive"),
            (["--population", 1], "--population must be from 2"),
            (["--population", 5, "--antithetic"], "--population must be even"),
            (["--iterations", 0], "--iterations must be from 1"),
            (["--problems-per-iteration", 11], "--problems-per-iteration 11 is more than the 10"),
            (["--problems-per-iteration", 0], "--problems-per-iteration must be at least 1"),
            (["--shaping", "best"], "--shaping must be zscore or rank, got 'best'"),
            (["--eval-every", -1], "--eval-every must be"),
            (["--eval-problems", "9:3"], "--eval-problems must be"),
            (["--eval-problems", "5"], "--eval-problems must be FIRST:STOP"),
        ],
    )
    def test_bad_input(self, tmp_path: Path, options: list[object], message: str) -> None:
        done = run_esprobe(tmp_path, *scripted(tmp_path, "--db", "new.db", *options))
        assert done.returncode == 2 and message in done.stderr
        assert not (tmp_path / "new.db").exists()

    def test_overlapping_problems_are_counted(self, tmp_path: Path) -> None:
        command = scripted(tmp_path, "--iterations", 1, "--eval-problems", "7:17", "--db", "o.db")
        done = run_esprobe(tmp_path, *command)
        assert done.returncode == 0 and "3 of the 10 evaluation problems are training problems" in done.stderr

    def test_rescored_populations(self, trained: Path) -> None:
        folder = trained.parent
        more = scripted(folder, "--iterations", 6, "--db", "es.db")
        rescored = run_esprobe(folder, "rescore", "--db", "es.db", "--scorer", "strict/1", "--write")
        assert rescored.returncode == 0 and "training run 1 are scored by strict/1" in rescored.stderr
        verified = run_esprobe(folder, "verify", "--db", "es.db")
        assert verified.returncode == 0 and "strict/1" in verified.stdout
        done = run_esprobe(folder, *more)
        assert done.returncode == 1 and "strict/1" in done.stderr and "--scorer es-paper/1 --write" in done.stderr
        assert run_esprobe(folder, "rescore", "--db", "es.db", "--scorer", "es-paper/1", "--write").returncode == 0
        assert run_esprobe(folder, *more).returncode == 0

    def test_another_scorer_than_the_run_began_with(self, trained: Path) -> None:
        with sqlite3.connect(trained) as connection:
            ((recipe,),) = connection.execute("SELECT recipe FROM training").fetchall()
            from esprobe.spec import digest_of

            older = json.loads(recipe) | {"scorer": "es-paper/0"}
            connection.execute("UPDATE training SET recipe = ?, digest = ?", (json.dumps(older), digest_of(older)))
            connection.execute("DELETE FROM iteration")
        done = run_esprobe(trained.parent, *scripted(trained.parent, "--iterations", 6, "--db", "es.db"))
        assert done.returncode == 2 and "es-paper/0" in done.stderr and "es-paper/1" in done.stderr


def test_a_run_is_what_its_file_says(trained: Path) -> None:
    with RolloutStore.open(trained) as store:
        (run,) = training_runs(store)
        trajectory = trajectory_of(run, trained)
    assert [one.trajectory for one in run.iterations] == list(trajectory.digests[1:])
    assert run.recipe["base"]["model_fingerprint"] and run.recipe["scorer"] == "es-paper/1"
