"""What is owed, in which order, and cut into which batches."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esprobe.sampling.plan import LEAST_PORTION, MOST_BATCHES, TEMPERATURE_BLOCK, Plan, Planned
from esprobe.spec import Condition, Request
from esprobe.store import RolloutWriter
from esprobe.workers.work import Key, requests_of
from tests.store.material import GREEDY, NOISY, WARM, begin, problems, rollout

PROBLEMS = 5


class Bench:
    """An open database in which plans are made over the same five problems."""

    def __init__(self, path: Path) -> None:
        self.writer = RolloutWriter.open(path)
        # The ids of a problem and its index differ, as they do in a database of two tasks.
        self.writer.register_problems("countdown", "another task", problems(0, 1, 2))
        asked = list(problems(*range(PROBLEMS)))
        ids = self.writer.register_problems("countdown", "this task", asked)
        self.problems = [(ids[problem.index], problem, prompt) for problem, prompt in asked]
        self.session = begin(self.writer)
        self.fresh = itertools.count(1)

    def plan(self, *wanted: tuple[Condition, int], seed: int = 42) -> Plan:
        planned = [
            Planned(self.writer.register_condition(c), c, 0 if c.kind == "greedy" else seed, n) for c, n in wanted
        ]
        return Plan(self.writer, planned, {id_: problem.index for id_, problem, _ in self.problems})

    def store(self, condition: Condition, keys: set[tuple[int, int]]) -> None:
        """Store rollouts by (problem index, seed)."""
        id_ = self.writer.register_condition(condition)
        self.writer.add(self.session, [rollout(id_, self.problems[index][0], seed) for index, seed in keys], {})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "e.db")
    yield made
    made.writer.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("shared") / "e.db")
    yield made
    made.writer.close()


def units(plan: Plan) -> list[tuple[str, int, int]]:
    return [(unit.planned.condition.label, unit.first_seed, unit.samples) for unit in plan.units()]


def requests(plan: Plan, batch_size: int | None = None) -> list[Request]:
    prompts = {problem.index: prompt for problem, prompt in problems(*range(PROBLEMS))}
    works = plan.works(batch_size, workers=1)
    return [request for work in works for batch in requests_of(work, prompts) for request in batch]


def keys(batch: Iterable[Request | Key]) -> list[tuple[int, int]]:
    return [(request.problem_index, request.seed) for request in batch]


def test_conditions_advance_together_a_block_of_seeds_at_a_time(bench: Bench) -> None:
    plan = bench.plan((GREEDY, 1), (WARM, 40), (replace(WARM, temperature=1.0), 40))
    assert TEMPERATURE_BLOCK == 16
    assert units(plan) == [
        ("greedy", 0, 1),
        ("T=0.8", 42, 16),
        ("T=1", 42, 16),
        ("T=0.8", 58, 16),
        ("T=1", 58, 16),
        ("T=0.8", 74, 8),
        ("T=1", 74, 8),
    ]


def test_perturbations_advance_together_one_seed_at_a_time(bench: Bench) -> None:
    plan = bench.plan((NOISY, 2), (replace(NOISY, sigma=0.01), 2))
    assert units(plan) == [("sigma=0.005", 42, 1), ("sigma=0.01", 42, 1), ("sigma=0.005", 43, 1), ("sigma=0.01", 43, 1)]
    first = next(plan.works(None, workers=1)).perturbation
    assert first is not None
    assert (first.seed, first.sigma, first.noise, first.scope) == (42, 0.005, "iid", None)


def test_the_seeds_of_one_problem_stand_back_to_back(bench: Bench) -> None:
    (unit,) = bench.plan((WARM, 3)).units()
    (batch,) = bench.plan((WARM, 3)).batches(unit, None)
    assert keys(batch) == [(index, seed) for index in range(PROBLEMS) for seed in (42, 43, 44)]


def test_a_request_carries_its_problem_and_how_to_draw(bench: Bench) -> None:
    warm = replace(WARM, top_p=0.9, top_k=50)
    for condition in (warm, NOISY, GREEDY):
        for request, (id_, problem, prompt) in zip(requests(bench.plan((condition, 1))), bench.problems, strict=True):
            assert (request.problem_id, request.problem_index, request.prompt) == (id_, problem.index, prompt)
            drawn = (request.temperature, request.top_p, request.top_k, request.max_tokens)
            assert drawn == ((0.8, 0.9, 50, 16) if condition is warm else (None, 1.0, -1, 16))
            assert (request.sampling_seed is None) == (condition is not warm)


def test_no_two_draws_share_their_token_noise(bench: Bench) -> None:
    drawn = requests(bench.plan((WARM, 20), (replace(WARM, temperature=1.0), 20), (replace(WARM, max_tokens=17), 20)))
    seeds = [request.sampling_seed for request in drawn]
    assert len(set(seeds)) == len(seeds) == 3 * 20 * PROBLEMS
    assert all(seed is not None and 0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("changed", [{"samples": 50}, {"seed": 37}, {"batch_size": 3}])
def test_a_draw_does_not_depend_on_what_else_is_drawn(bench: Bench, changed: dict[str, int]) -> None:
    def noise(samples: int = 20, seed: int = 42, batch_size: int | None = None) -> dict[tuple[int, int], int | None]:
        drawn = requests(bench.plan((WARM, samples), seed=seed), batch_size)
        return {(request.problem_index, request.seed): request.sampling_seed for request in drawn}

    one, other = noise(), noise(**changed)
    common = one.keys() & other.keys()
    assert len(common) >= 15 * PROBLEMS
    assert all(one[key] == other[key] for key in common)


def test_more_samples_only_add(bench: Bench) -> None:
    bench.store(WARM, {(index, seed) for index in range(PROBLEMS) for seed in range(42, 46)})
    plan = bench.plan((WARM, 8))
    assert (plan.stored, plan.total) == (4 * PROBLEMS, 8 * PROBLEMS)
    assert keys(requests(plan)) == [(index, seed) for index in range(PROBLEMS) for seed in range(46, 50)]


def test_fewer_samples_owe_nothing(bench: Bench) -> None:
    bench.store(WARM, {(index, seed) for index in range(PROBLEMS) for seed in range(42, 46)})
    plan = bench.plan((WARM, 2))
    assert (plan.stored, plan.total, units(plan)) == (2 * PROBLEMS, 2 * PROBLEMS, [])


def test_what_is_stored_of_other_conditions_seeds_and_problems_does_not_count(bench: Bench) -> None:
    everything = {(index, seed) for index in range(PROBLEMS) for seed in range(42, 44)}
    bench.store(replace(WARM, temperature=1.0), everything)
    bench.store(WARM, {(index, seed) for index in range(PROBLEMS) for seed in (41, 44)})
    other = bench.writer.register_condition(WARM)
    bench.writer.add(bench.session, [rollout(other, id_, 42) for id_ in (1, 2, 3)], {})  # of the other task
    plan = bench.plan((WARM, 2))
    assert plan.stored == 0
    assert set(keys(requests(plan))) == everything


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([WARM, NOISY]),
    stored=st.sets(st.tuples(st.integers(0, PROBLEMS - 1), st.integers(42, 70))),
    samples=st.integers(1, 30),
    batch_size=st.none() | st.integers(1, 40),
)
def test_wherever_it_was_interrupted_the_missing_is_drawn_in_the_batches_of_an_uninterrupted_run(
    shared: Bench, kind: Condition, stored: set[tuple[int, int]], samples: int, batch_size: int | None
) -> None:
    condition = replace(kind, max_tokens=next(shared.fresh))
    fresh = shared.plan((condition, samples))
    whole = [keys(batch) for unit in fresh.units() for batch in fresh.batches(unit, batch_size)]
    assert sorted(sum(whole, [])) == [(index, 42 + i) for index in range(PROBLEMS) for i in range(samples)]

    shared.store(condition, stored)
    resumed = shared.plan((condition, samples))
    batches = [keys(batch) for unit in resumed.units() for batch in resumed.batches(unit, batch_size)]
    missing = [[key for key in batch if key not in stored] for batch in whole]
    assert batches == [batch for batch in missing if batch]
    assert resumed.total - resumed.stored == sum(map(len, batches))


@pytest.mark.parametrize(("kind", "samples"), [(WARM, 40), (NOISY, 3), (GREEDY, 1)])
@pytest.mark.parametrize("workers", [2, 3, 50])
def test_workers_are_given_the_batches_of_one_worker_a_few_at_a_time(
    bench: Bench, kind: Condition, samples: int, workers: int
) -> None:
    plan = bench.plan((kind, samples))
    alone, shared = list(plan.works(4, workers=1)), list(plan.works(4, workers))
    assert [batch for work in shared for batch in work.batches] == [batch for work in alone for batch in work.batches]
    if kind is NOISY:
        assert shared == alone
    else:
        assert max(len(work.batches) for work in shared) == (1 if kind is GREEDY or workers == 50 else MOST_BATCHES)


def test_a_window_is_not_cut_so_small_that_it_drains(bench: Bench) -> None:
    plan = bench.plan((WARM, TEMPERATURE_BLOCK))
    assert TEMPERATURE_BLOCK * PROBLEMS < LEAST_PORTION
    assert [work.rollouts for work in plan.works(None, workers=2)] == [TEMPERATURE_BLOCK * PROBLEMS]
