"""The engine contract, held by every engine: subclasses supply the fixtures ``engine`` and ``prompts``."""

from collections.abc import Iterator

import numpy as np
import pytest

from esprobe.engines import Engine
from esprobe.errors import PerturbationError
from esprobe.spec import Completion, Perturbation, Prompt, Request
from esprobe.trajectory import Trajectory, Update


def request_for(prompt: Prompt, index: int, **changes: object) -> Request:
    request = Request(problem_id=index + 1, problem_index=index, seed=42, prompt=prompt, max_tokens=24)
    return request._replace(**changes)  # type: ignore[arg-type]


def drawn(prompts: list[Prompt], seed: int = 42, temperature: float = 0.8) -> list[Request]:
    """One sampled request per prompt, each with a sampling seed of its own."""
    return [
        request_for(prompt, i, seed=seed, temperature=temperature, sampling_seed=1000 * seed + i)
        for i, prompt in enumerate(prompts)
    ]


def complete(engine: Engine, requests: list[Request]) -> dict[Request, Completion]:
    groups = list(engine.generate(requests, lambda: False))
    completions = [completion for group in groups for completion in group]
    answered = {completion.request: completion for completion in completions}
    assert len(answered) == len(completions), "a request was answered twice"
    return answered


def texts(engine: Engine, requests: list[Request]) -> list[str]:
    answered = complete(engine, requests)
    return [answered[request].text for request in requests]


def trained(iterations: int, run: int = 0, population: int = 4, size: float = 0.03, **changes: str) -> Trajectory:
    """A run of updates as training makes them: another run has other seeds; members 0 and 1 are an antithetic pair."""
    trajectory = Trajectory(recipe=f"run {run}{sorted(changes.items())}", **changes)
    for iteration in range(iterations):
        first = 1000 * run + population * iteration
        seeds = (first, *range(first, first + population - 1))
        coefficients = tuple(float(np.float32(size * (-1) ** j * (1 + j) / population)) for j in range(population))
        trajectory = trajectory.extended(Update(seeds, coefficients))
    return trajectory


class EvolutionContract:
    """Training moves the base that perturbations start from; which answers an engine gives follows from where it is."""

    def answers(self, engine: Engine, prompts: list[Prompt]) -> list[str]:
        requests = [request_for(prompt, i) for i, prompt in enumerate(prompts)]
        found = texts(engine, requests)
        for sign in (1, -1):
            with engine.perturbed(Perturbation(seed=57, sigma=0.05, sign=sign)):
                found += texts(engine, requests)
        return found

    def test_the_way_to_a_model_does_not_matter(self, engine: Engine, prompts: list[Prompt]) -> None:
        loaded = self.answers(engine, prompts)
        seen: dict[str, set[tuple[str, ...]]] = {}
        other = trained(2, run=1)
        for trajectory in (trained(2), trained(3), trained(2), other, trained(3), trained(0), other, trained(3)):
            state = engine.evolve(trajectory)
            seen.setdefault(state, set()).add(tuple(self.answers(engine, prompts)))
        assert len(seen) == 4  # of two, three and no updates, and of the other run
        assert all(len(answers) == 1 for answers in seen.values())
        assert len(set.union(*seen.values())) == 4
        engine.evolve(trained(0))
        assert self.answers(engine, prompts) == loaded

    def test_the_mirror_image_is_another_model(self, engine: Engine, prompts: list[Prompt]) -> None:
        plain, one, mirrored = np.array_split(self.answers(engine, prompts), 3)
        assert len({tuple(plain), tuple(one), tuple(mirrored)}) == 3


class EvolvedWeightsContract:
    """Which weights the base has after updates."""

    @pytest.fixture(autouse=True)
    def back_to_the_start(self, engine: Engine) -> Iterator[None]:
        yield
        engine.evolve(trained(0))

    def test_the_loaded_weights_come_back_bit_for_bit(self, engine: Engine) -> None:
        before = engine.weight_digest()  # type: ignore[attr-defined]
        for iterations in (1, 0, 2, 0):
            engine.evolve(trained(iterations))
            assert (engine.weight_digest() == before) == (iterations == 0)  # type: ignore[attr-defined]

    def test_after_a_perturbation_the_weights_are_the_evolved_ones(self, engine: Engine) -> None:
        engine.evolve(trained(2))
        before = engine.weight_digest()  # type: ignore[attr-defined]
        with engine.perturbed(Perturbation(seed=1, sigma=0.05)):
            assert engine.weight_digest() != before  # type: ignore[attr-defined]
        assert engine.weight_digest() == before  # type: ignore[attr-defined]
        with engine.perturbed(Perturbation(seed=1, sigma=0.0)):
            assert engine.weight_digest() == before  # type: ignore[attr-defined]

    def test_all_scalars_are_still_reached(self, engine: Engine, scalars: int) -> None:
        engine.evolve(trained(1, scope="mlp"))
        with engine.perturbed(Perturbation(seed=57, sigma=0.05)) as touched:
            assert touched == scalars

    def test_a_scope_that_matches_nothing_is_refused(self, engine: Engine) -> None:
        before = engine.weight_digest()  # type: ignore[attr-defined]
        with pytest.raises(PerturbationError, match="scope 'nothing'"):
            engine.evolve(trained(1, scope="nothing"))
        assert engine.weight_digest() == before  # type: ignore[attr-defined]


class GenerationContract:
    """Text in, text out."""

    def test_every_request_is_answered_once(self, engine: Engine, prompts: list[Prompt]) -> None:
        requests = drawn(prompts)
        assert set(complete(engine, requests)) == set(requests)

    def test_nothing_asked_is_nothing_answered(self, engine: Engine) -> None:
        assert complete(engine, []) == {}

    def test_same_seed_same_text_other_seed_other_text(self, engine: Engine, prompts: list[Prompt]) -> None:
        first = texts(engine, drawn(prompts, seed=1, temperature=1.0))
        assert texts(engine, drawn(prompts, seed=1, temperature=1.0)) == first
        assert texts(engine, drawn(prompts, seed=2, temperature=1.0)) != first

    def test_greedy_decoding_is_repeatable(self, engine: Engine, prompts: list[Prompt]) -> None:
        requests = [request_for(prompt, i) for i, prompt in enumerate(prompts)]
        assert texts(engine, requests) == texts(engine, requests)

    def test_token_limit_is_kept_and_named(self, engine: Engine, prompts: list[Prompt]) -> None:
        answers = complete(engine, [request_for(prompt, i, max_tokens=2) for i, prompt in enumerate(prompts)])
        assert all(1 <= answer.token_count <= 2 for answer in answers.values())
        assert {answer.finish_reason for answer in answers.values()} <= {"stop", "length"}
        assert any(answer.finish_reason == "length" for answer in answers.values())

    def test_a_stop_text_ends_the_completion_that_contains_it(self, engine: Engine, prompts: list[Prompt]) -> None:
        requests = [request_for(prompt, i) for i, prompt in enumerate(prompts)]
        whole = complete(engine, requests)
        text = whole[requests[0]].text
        place = len(text) // 3
        stops = (text[place : place + 3], "no completion has this")
        stopped = complete(engine, [request._replace(stop=stops) for request in requests])
        assert stopped[requests[0]._replace(stop=stops)].text == text[: text.find(stops[0]) + len(stops[0])]
        for request in requests:
            before, after = whole[request], stopped[request._replace(stop=stops)]
            if stops[0] in before.text:
                assert after.text.endswith(stops[0]) and before.text.startswith(after.text)
                assert (after.finish_reason, after.token_count <= before.token_count) == ("stop", True)
            else:
                assert after[1:] == before[1:]
        first = stopped[requests[0]._replace(stop=stops)]
        assert first.token_count < whole[requests[0]].token_count

    def test_a_stop_ends_generation_early(self, engine: Engine, prompts: list[Prompt]) -> None:
        assert [group for group in engine.generate(drawn(prompts), lambda: True) if group] == []

    def test_what_was_used_is_told(self, engine: Engine) -> None:
        assert engine.provenance()["engine"]


class PerturbationContract:
    """Weights change inside ``perturbed`` and are bit for bit the loaded ones after."""

    def test_noise_reaches_every_weight(self, engine: Engine, scalars: int) -> None:
        with engine.perturbed(Perturbation(seed=57, sigma=0.05)) as touched:
            assert touched == scalars

    def test_weights_are_restored_bit_for_bit(self, engine: Engine) -> None:
        before = engine.weight_digest()  # type: ignore[attr-defined]
        for seed in range(3):
            with engine.perturbed(Perturbation(seed=seed, sigma=0.05)):
                assert engine.weight_digest() != before  # type: ignore[attr-defined]
        assert engine.weight_digest() == before  # type: ignore[attr-defined]

    def test_weights_survive_an_error_inside(self, engine: Engine) -> None:
        before = engine.weight_digest()  # type: ignore[attr-defined]
        with pytest.raises(ZeroDivisionError), engine.perturbed(Perturbation(seed=1, sigma=0.05)):
            raise ZeroDivisionError
        assert engine.weight_digest() == before  # type: ignore[attr-defined]

    def test_sigma_zero_is_the_identity(self, engine: Engine) -> None:
        before = engine.weight_digest()  # type: ignore[attr-defined]
        with engine.perturbed(Perturbation(seed=1, sigma=0.0)):
            assert engine.weight_digest() == before  # type: ignore[attr-defined]

    def test_a_seed_names_one_model(self, engine: Engine, prompts: list[Prompt]) -> None:
        requests = [request_for(prompt, i) for i, prompt in enumerate(prompts)]
        answers, digests = [], []
        for seed in (57, 58, 57):
            with engine.perturbed(Perturbation(seed=seed, sigma=0.05)):
                answers.append(texts(engine, requests))
                digests.append(engine.weight_digest())  # type: ignore[attr-defined]
        assert answers[0] == answers[2]
        assert digests[0] == digests[2] != digests[1]
