"""What ``import`` holds against the task, the data and the database before it stores anything."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from esprobe.errors import DataError
from esprobe.maintenance.matching import ProblemFinder
from esprobe.spec import Problem, Prompt, Score
from esprobe.tasks.base import DataSet
from tests.sampling.material import Done, invoke, query, write_script

PROBLEMS = 20
SAMPLES = 10


def write_problems(path: Path, first: int) -> Path:
    """Problems 1 + 2 + i = 3 + i, for i from ``first`` on; each has numbers of its own."""
    rows = [
        {"numbers": [1, 2, i], "target": str(3 + i), "context": f"[1 2 {i}] {3 + i}"}
        for i in range(first, first + PROBLEMS)
    ]
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with e.db; of every third problem half of the rollouts are right, and the answer to no other problem."""
    folder = tmp_path_factory.mktemp("sampled")
    data = write_problems(folder / "data.json", 10)
    right = {f"p{i}": [f" </think>\n<answer> 1 + 2 + {10 + i} </answer>", " no"] for i in range(0, PROBLEMS, 3)}
    script = write_script(folder / "script.json", " no", **right)
    common = ["--engine", "scripted", "--model", script, "--data", data, "--problems", f"0:{PROBLEMS}"]
    common += ["--samples", SAMPLES, "--db", folder / "e.db"]
    for arm in (["sample-temp", "-t", 0.8], ["sample-perturb", "--sigma", 0.01, "--sigma", 0.02]):
        assert invoke(*arm, *common).code == 0
    return folder


@pytest.fixture
def folder(sampled: Path, tmp_path: Path) -> Path:
    """A copy of the folder, with the rollouts of T=0.8 in t.jsonl and of sigma=0.01 in s.jsonl."""
    copy = Path(shutil.copytree(sampled, tmp_path / "copy"))
    for label, name in (("T=0.8", "t.jsonl"), ("sigma=0.01", "s.jsonl")):
        assert invoke("export", "--db", copy / "e.db", "--condition", label, "-o", copy / name).code == 0
    return copy


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]], name: str = "t.jsonl") -> Path:
    """A file of changed rows of an export."""
    lines = (folder / name).read_text().splitlines()
    (folder / "changed.jsonl").write_text("".join(json.dumps(change(json.loads(line))) + "\n" for line in lines))
    return folder / "changed.jsonl"


def bare(row: dict[str, Any], **changes: object) -> dict[str, Any]:
    """What another tool would write: nothing of esprobe's own keys."""
    return {name: row[name] for name in ("problem", "completion", "correct")} | changes


def import_(folder: Path, file: Path, *more: object, label: str = "theirs", into: str = "i.db") -> Done:
    data = ["--task", "countdown", "--data", folder / "data.json"]
    return invoke("import", file, "--label", label, *data, "--db", folder / into, *more)


def curve(path: Path, label: str) -> dict[str, Any]:
    found = json.loads(invoke("passk", "--db", path, "--format", "json").stdout)["conditions"]
    (one,) = (c for c in found if c["label"] == label)
    return dict(one)


def test_verdicts_that_the_task_does_not_share_stop_an_import(folder: Path) -> None:
    """Wrong data or a wrong index would be scored silently, to a curve of nearly 0."""
    sampled = [json.loads(line) for line in (folder / "t.jsonl").read_text().splitlines()]
    other = rewrite(folder, lambda row: bare(row, correct=row["problem"] % 3 == 1))
    words = {True: "correct", False: "wrong"}
    differing = [
        f"line {line}, problem {r['problem']}: file {words[not r['correct']]}, task {words[r['correct']]} ("
        for line, r in enumerate(sampled, 1)
        if r["correct"] != (r["problem"] % 3 == 1)
    ]
    done = import_(folder, other)
    assert done.code == 1
    assert f"differ on {len(differing)} of 200 rows ({len(differing) / 2:.1f} %" in done.stderr
    assert [row in done.stderr for row in differing[:4]] == [True, True, True, False]
    assert "Likely cause: other data (see --data) or another scorer" in done.stderr
    assert not (folder / "i.db").exists()

    done = import_(folder, other, "--trust", "task", into="task.db")
    assert (done.code, f"differ on {len(differing)} of 200 rows" in done.stdout) == (0, True)
    assert curve(folder / "task.db", "theirs")["pass_at_k"] == curve(folder / "e.db", "T=0.8")["pass_at_k"]

    assert import_(folder, other, "--trust", "file", into="file.db").code == 0
    given = "SELECT name, sum(correct), count(*) FROM rollout JOIN session ON session.id = session_id "
    given += "JOIN scorer ON scorer.id = scorer_id GROUP BY name"
    assert query(folder / "file.db", given) == [("given", 70, 200)]


@pytest.mark.parametrize(("shift", "said"), [(1, "1 too high, as if counted from 1"), (-1, "1 too low")])
def test_indices_that_are_off_by_one_are_told(folder: Path, shift: int, said: str) -> None:
    moved = rewrite(folder, lambda row: bare(row, problem=(row["problem"] + shift) % PROBLEMS))
    done = import_(folder, moved)
    assert (done.code, said in done.stderr) == (1, True), done.stderr
    assert f"with {-shift:+d} the verdicts agree on 190 of 190 rows" in done.stderr


@pytest.mark.parametrize("shift", [1, -1])
def test_other_indices_are_seen_though_hardly_any_row_is_correct(folder: Path, shift: int) -> None:
    """Agreement on what is wrong tells nothing: here 99.6 % of the rows agree with other problems' too."""
    lines = [json.dumps(bare({"problem": i % PROBLEMS, "completion": " no", "correct": False})) for i in range(20_000)]
    for i in range(40):
        right = {"problem": i % PROBLEMS, "completion": f"<answer> 1 + 2 + {10 + i % PROBLEMS} </answer>"}
        lines.append(json.dumps(right | {"correct": True}))
    (folder / "rare.jsonl").write_text("\n".join(lines) + "\n")
    assert import_(folder, folder / "rare.jsonl").code == 0
    moved = [json.loads(line) for line in lines]
    for row in moved:
        row["problem"] = (row["problem"] + shift) % PROBLEMS
    (folder / "moved.jsonl").write_text("".join(json.dumps(row) + "\n" for row in moved))
    done = import_(folder, folder / "moved.jsonl", into="moved.db")
    assert (done.code, "either calls correct" in done.stderr) == (1, True), done
    assert "off by one" in done.stderr and not (folder / "moved.db").exists()


def test_a_file_without_a_correct_row_is_not_told_to_move_its_indices(folder: Path) -> None:
    """Under any other index next to nothing is correct, which agrees with a file that calls nothing correct."""
    done = import_(folder, rewrite(folder, lambda row: bare(row, correct=False)))
    assert (done.code, "another scorer" in done.stderr, "off by one" in done.stderr) == (1, True, False)


def test_verdicts_of_another_scorer_of_the_task_are_told(folder: Path) -> None:
    """Strict takes no sign for an operation, and the task's default does."""
    texts = {"1 + 2 + 11": True, "11 + 2 - -1": False}
    rows = [{"problem": 1, "completion": f"<answer>{text}</answer>", "correct": told} for text, told in texts.items()]
    (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = import_(folder, folder / "x.jsonl")
    assert (done.code, "another scorer: strict/1 agrees on 2 of 2 rows" in done.stderr) == (1, True), done.stderr


def test_a_few_rows_that_differ_are_counted_and_the_task_is_right(folder: Path) -> None:
    seen = iter(range(200))
    few = rewrite(folder, lambda row: bare(row, correct=row["correct"] != (next(seen) in (5, 6))))
    done = import_(folder, few)
    assert (done.code, "the file's differ on 2 of 200 rows" in done.stdout) == (0, True), done.stderr
    assert curve(folder / "i.db", "theirs")["pass_at_k"] == curve(folder / "e.db", "T=0.8")["pass_at_k"]
    seen = iter(range(200))
    assert import_(folder, rewrite(folder, lambda row: bare(row, correct=row["correct"] != (next(seen) < 3)))).code == 1


def test_trust_needs_both_verdicts(folder: Path) -> None:
    done = invoke("import", folder / "t.jsonl", "--label", "x", "--trust", "file", "--db", folder / "i.db")
    assert (done.code, "add --task" in done.stderr) == (2, True)
    unjudged = rewrite(folder, lambda row: bare(row, correct=None))
    done = import_(folder, unjudged, "--trust", "file")
    assert (done.code, "line 1 of" in done.stderr, "whether it is correct" in done.stderr) == (1, True, True)
    assert "leave out --trust file" in done.stderr and "add --task" not in done.stderr
    done = invoke("import", unjudged, "--label", "x", "--db", folder / "i.db")
    assert (done.code, "add --task NAME, whose scorer" in done.stderr, "--trust" in done.stderr) == (1, True, False)


def test_what_the_task_calls_correct_is_counted_and_matching_by_number_is_told(folder: Path) -> None:
    by_number = "matched by their numbers alone: the file's problem N is problem N of the data"
    right = sum(json.loads(line)["correct"] for line in (folder / "t.jsonl").read_text().splitlines())
    unjudged = rewrite(folder, lambda row: bare(row, correct=None))
    for _ in range(2):  # the second time all are known
        done = import_(folder, unjudged)
        assert (done.code, f"{right} of 200 are correct by es-paper/1" in done.stdout) == (0, True), done
        assert by_number in done.stdout and "the file's verdicts" not in done.stdout
    trusted = import_(folder, folder / "t.jsonl", "--trust", "file", into="f.db").stdout
    assert "the task's scorer" not in trusted and by_number in trusted
    data = json.loads((folder / "data.json").read_text())
    told = rewrite(folder, lambda row: bare(row, question=data[row["problem"]]["context"]))
    assert by_number not in import_(folder, told, into="told.db").stdout
    plain = invoke("import", folder / "t.jsonl", "--label", "x", "--db", folder / "p.db").stdout
    assert by_number not in plain


def test_rows_are_matched_by_their_content_and_not_by_their_number(folder: Path) -> None:
    data = json.loads((folder / "data.json").read_text())

    def told(row: dict[str, Any], **more: object) -> dict[str, Any]:
        problem = data[row["problem"]]
        return {"completion": row["completion"], "correct": row["correct"], "numbers": problem["numbers"]} | more

    files: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
        lambda row: told(row, target=data[row["problem"]]["target"]),
        lambda row: told(row, target=float(data[row["problem"]]["target"]), problem=row["problem"] + 1),
        lambda row: told(row, question=f" {data[row['problem']]['context']}\n"),
        lambda row: told(row, problem=999, question=data[row["problem"]]["context"]),
    ]
    expected = curve(folder / "e.db", "T=0.8")["pass_at_k"]
    for place, change in enumerate(files):
        done = import_(folder, rewrite(folder, change), into=f"{place}.db")
        assert (done.code, "200 rollouts were matched to their problems by content" in done.stdout) == (0, True)
        assert curve(folder / f"{place}.db", "theirs")["pass_at_k"] == expected


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"numbers": [5, 5, 5], "target": 3}, "is about a problem ('5,5,5=3') that"),
        ({"numbers": [5, "5"], "target": 3}, "does not describe a problem of countdown"),
        ({"question": "What?", "problem": 3}, "is about a problem ('What?') that"),
        ({"prompt": "What?"}, "is about a problem ('What?') that"),
        ({"problem": 20}, "indices 0 to 19 (the first problem is 0)"),
        ({}, "has no valid"),
    ],
)
def test_a_row_whose_problem_is_not_in_the_data_is_named(folder: Path, row: dict[str, Any], said: str) -> None:
    good, bad = {"problem": 0, "completion": "x"}, row | {"completion": "x"}
    (folder / "x.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n")
    done = import_(folder, folder / "x.jsonl")
    assert (done.code, said in done.stderr, "line 2 of" in done.stderr) == (1, True, True), done.stderr
    assert not (folder / "i.db").exists()


def test_an_index_tells_apart_what_the_data_hold_twice(folder: Path) -> None:
    rows = [{"numbers": [1, 2], "target": "3"}, {"numbers": [2, 1], "target": "3.0"}]
    (folder / "data.json").write_text(json.dumps(rows))
    told = {"numbers": [1, 2], "target": 3, "completion": "x"}
    (folder / "x.jsonl").write_text(json.dumps(told))
    done = import_(folder, folder / "x.jsonl")
    assert (done.code, "holds 2 times, at the indices 0, 1" in done.stderr) == (1, True), done.stderr
    (folder / "x.jsonl").write_text(json.dumps(told | {"problem": 1}))
    assert import_(folder, folder / "x.jsonl").code == 0
    assert query(folder / "i.db", "SELECT problem_index FROM problem") == [(1,)]


class Riddles:
    """A task with nothing but what every task has; its problems are questions."""

    name, prompts, scorers = "riddles", ("chat", "none"), ("exact/1",)

    def data_set(self, data: str | None) -> DataSet:
        texts = ["Why?", "How?", "Why?"]
        return DataSet("riddles", "d", [Problem(i, {"question": t, "answer": "x"}, "all") for i, t in enumerate(texts)])

    def prompt(self, problem: Problem, style: str) -> Prompt:
        if style == "none":
            raise DataError("no problem has this style")
        return Prompt((("system", "Solve."), ("user", f"Tell me: {problem.inputs['question']}")), "")

    def score(self, problem: Problem, completion: str, scorer: str) -> Score:
        return Score(0.0, False, None, "wrong")


def test_a_task_without_content_keys_is_matched_by_its_texts() -> None:
    task = Riddles()
    find = ProblemFinder(task, task.data_set(None))
    assert find({"question": "How?", "numbers": [1], "target": 2}) == (1, True)
    assert find({"prompt": "Tell me: How?"}) == (1, True)
    assert find({"problem": 2, "question": "Why?"}) == (2, True)
    assert find({"problem": 2, "prompt": "of another tool"}) == (2, False)
    for refused in ({"question": "Why?"}, {"question": "Solve."}, {"question": "x"}, {"problem": 3}, {"problem": True}):
        with pytest.raises(ValueError, match="problem"):
            find(refused)


def test_an_export_of_other_data_is_refused(folder: Path) -> None:
    """The indices would mean other problems, each scored as wrong."""
    other = write_problems(folder / "other.json", 11)
    words = ["--label", "theirs", "--task", "countdown", "--data", other, "--db", folder / "i.db"]
    for file in (folder / "t.jsonl", rewrite(folder, lambda row: row | {"correct": None})):
        done = invoke("import", file, *words)
        assert (done.code, "was sampled on data with the digest" in done.stderr) == (1, True), done.stderr
    done = import_(folder, rewrite(folder, lambda row: row | {"task": "another"}))
    assert (done.code, "is of task 'another'" in done.stderr) == (1, True)
    assert not (folder / "i.db").exists()


NEW = ("noise", "scope", "model_fingerprint", "dtype", "engine", "data_digest")


def test_an_export_without_the_new_columns_is_read_as_before(folder: Path) -> None:
    old = rewrite(folder, lambda row: {name: value for name, value in row.items() if name not in NEW})
    assert import_(folder, old).code == 0
    assert invoke("import", folder / "t.jsonl", "--label", "plain", "--db", folder / "i.db").code == 0
    assert (
        import_(folder, folder / "t.jsonl")
        .stdout.splitlines()[1]
        .startswith("0 rollouts of 20 problems imported, 200 were")
    )
    assert {kind for (kind,) in query(folder / "i.db", "SELECT kind FROM condition")} == {"imported"}


@pytest.mark.parametrize(
    "label",
    [
        *(
            "0.8",
            " 12 ",
            "nan",
            "-inf",
            "1e3",
            "null",
            "NULL",
            "None",
            "true",
            "False",
            "",
            "  ",
            "T=0.8",
            "sigma=0.005",
            "t=0.5",
            "T = 0.8",
            "0x10",
            "iteration 3",
            "Iteration 1,200 (mirrored)",
            "es.db:1@30",
            "runs/es.db:1",
            "a folder/es.sqlite:0123abcd@7",
            "random expressions",
        ),
        *("greedy", "temperature", "Imported", "perturbation"),
        *("a\tb", "a\nb", "a\x1b[1mb", "a\u202eb", "-x", "--db"),
        *("T=0.4, x", "x, T=0.4", "greedy, y", "3, base", "iteration 3, x", "x,null", "random expressions, x"),
        *("sigma=0.1 (noise=iid)", "T=0.4, tiny (dtype=float16, scope=(a|b))", "x (y), T=0.4 (noise=iid)"),
    ],
)
def test_a_label_that_means_something_else_is_refused(folder: Path, label: str) -> None:
    done = invoke("import", folder / "t.jsonl", "--label", label, "--db", folder / "i.db")
    assert (done.code, "would not name these rollouts alone" in done.stderr) == (2, True), done
    assert not (folder / "i.db").exists()


@pytest.mark.parametrize("label", ["theirs (greedy)", "GRPO, step 100", "a (b, 3)", "x-y", "ü, 模型"])
def test_other_labels_are_taken_back_as_they_are_printed(folder: Path, label: str) -> None:
    assert import_(folder, folder / "t.jsonl", label=label, into="e.db").code == 0
    done = invoke("compare", "T=0.8", label, "--db", folder / "e.db", "--k", 1)
    assert (done.code, label in done.stdout) == (0, True), done


def test_the_name_of_the_guessing_curve_is_refused(folder: Path) -> None:
    done = import_(folder, folder / "t.jsonl", "--label", "Random expressions")
    assert (done.code, "the curve of guessing" in done.stderr) == (2, True), done


@pytest.mark.parametrize("label", ["theirs", "Theirs"])
def test_the_label_of_another_condition_is_refused(folder: Path, label: str) -> None:
    assert import_(folder, folder / "t.jsonl").code == 0
    done = invoke("import", folder / "t.jsonl", "--label", label, "--db", folder / "i.db")
    assert (done.code, "condition 1 of this database" in done.stderr) == (2, True), done
    assert query(folder / "i.db", "SELECT count(*) FROM condition") == [(1,)]
    assert invoke("import", folder / "t.jsonl", "--label", "T=0.8 theirs", "--db", folder / "i.db").code == 0


def test_seeds_of_a_perturbation_come_back_as_shared_noise(folder: Path) -> None:
    """The same rollouts must get the same intervals, which independent ones would not."""
    assert import_(folder, folder / "s.jsonl").code == 0
    original, back = curve(folder / "e.db", "sigma=0.01"), curve(folder / "i.db", "theirs")
    assert (back["kind"], back["sigma"], back["model"]) == ("perturbation", 0.01, original["model"])
    assert back["pass_at_k"] == original["pass_at_k"]
    assert invoke("verify", "--db", folder / "i.db").code == 0

    judged = rewrite(folder, lambda row: row | {"correct": row["seed"] % 2 == 0, "reward": None}, "s.jsonl")
    done = import_(folder, judged, "--trust", "file", into="e.db")
    assert done.code == 0, done.stderr
    assert import_(folder, judged, "--trust", "file", into="e.db").stdout.splitlines()[1].startswith("0 rollouts")
    assert len(query(folder / "e.db", "SELECT digest FROM condition WHERE sigma = 0.01 AND kind = 'perturbation'")) == 2
    told = invoke("compare", "sigma=0.01", "theirs", "--db", folder / "e.db", "--k", 1).stdout
    assert "One seed is the same noise on both sides" in told
    alike = rewrite(folder, lambda row: {**row, "kind": None, "correct": row["seed"] % 2 == 0}, "s.jsonl")
    assert import_(folder, alike, "--trust", "file").code == 2, "the label is that of another condition"
    assert import_(folder, alike, "--trust", "file", label="as if independent").code == 0
    shared = curve(folder / "e.db", "theirs")["pass_at_k"][0]
    independent = curve(folder / "i.db", "as if independent")["pass_at_k"][0]
    assert shared["estimate"] == independent["estimate"] == 0.5
    assert shared != independent


def test_an_imported_perturbation_leaves_the_study_as_it_was(folder: Path) -> None:
    """The verdict is about what was sampled; another model's or another judge's rollouts are no arm of it."""
    before = json.loads(invoke("report", "--db", folder / "e.db", "--format", "json").stdout)
    assert before["verdict"] and before["arms"]
    theirs = rewrite(folder, lambda row: row | {"correct": True, "model_fingerprint": "f" * 64}, "s.jsonl")
    rows = [json.loads(line) for line in theirs.read_text().splitlines()]
    more = [row | {"seed": row["seed"] + 1000 * copy} for copy in range(4) for row in rows]  # than were sampled
    theirs.write_text("".join(json.dumps(row) + "\n" for row in more))
    assert import_(folder, theirs, "--trust", "file", into="e.db").code == 0
    after = json.loads(invoke("report", "--db", folder / "e.db", "--format", "json").stdout)
    assert after["verdict"] == before["verdict"]
    assert after["arms"] == before["arms"]


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: {name: value for name, value in row.items() if name not in names}


def at_seed_44(**changes: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: row | (changes if row["seed"] == 44 else {})


def incomplete() -> Iterator[tuple[Callable[[dict[str, Any]], dict[str, Any]], str]]:
    """What cannot come back as one perturbation, and what is said of it."""
    yield without("seed"), "(no seed)"
    yield without(*NEW), "(no noise, model_fingerprint)"
    yield without("sigma"), "(no sigma)"
    yield at_seed_44(sigma=0.02), "has sigma 0.02 and line 1 has 0.01"
    yield (lambda row: row | {"noise": "v9"}), "has noise 'v9', which is no scheme"
    yield at_seed_44(noise="tied"), "has noise 'tied' and line 1 has 'iid'"
    yield at_seed_44(scope="lm_head"), "has scope 'lm_head'"
    yield at_seed_44(model_fingerprint="f"), "has model_fingerprint 'f'"
    yield at_seed_44(kind="temperature"), "has kind 'temperature' and line 1 has 'perturbation'"
    yield at_seed_44(seed=None), "has no seed"
    for sigma in (-1.0, True, "0.01", float("inf"), 10**400):
        yield (lambda row, sigma=sigma: row | {"sigma": sigma}), f"has sigma {sigma!r}"


@pytest.mark.parametrize(("change", "said"), list(incomplete()))
def test_what_is_not_one_perturbation_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]], said: str
) -> None:
    done = import_(folder, rewrite(folder, change, "s.jsonl"))
    assert (done.code, said in done.stderr) == (1, True), done.stderr
    assert not (folder / "i.db").exists()


def test_a_perturbation_has_no_temperature(folder: Path) -> None:
    done = import_(folder, folder / "s.jsonl", "--temperature", 0.8)
    assert (done.code, "leave out --temperature" in done.stderr) == (2, True)
    assert not (folder / "i.db").exists()
