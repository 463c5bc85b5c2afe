"""The vLLM engine against the real vLLM: its CPU build is enough."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from esprobe.engines import EngineOptions
from esprobe.engines.checkpoint import find_checkpoint
from esprobe.engines.save import save_trained
from esprobe.engines.transformers import TransformersEngine
from esprobe.errors import EngineError, PerturbationError
from esprobe.spec import Perturbation, Prompt
from esprobe.tasks import load_task
from tests.engines.contract import (
    EvolutionContract,
    EvolvedWeightsContract,
    GenerationContract,
    PerturbationContract,
    complete,
    drawn,
    request_for,
    texts,
    trained,
)

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

from esprobe.engines.vllm import VllmEngine  # noqa: E402 - imports vllm only when an engine is made
from esprobe.engines.vllm_names import check_engine, has_weight_versions  # noqa: E402


@pytest.fixture(scope="module")
def loaded() -> Iterator[VllmEngine]:
    """One engine a process: vLLM keeps global state."""
    yield VllmEngine.load(VllmEngine.identify("tiny", "float32"), EngineOptions(perturbs=True, max_num_seqs=64))


@pytest.fixture(scope="module")
def reference() -> TransformersEngine:
    return TransformersEngine.load(TransformersEngine.identify("tiny", "float32"), EngineOptions())


@pytest.fixture(scope="module")
def asked() -> list[Prompt]:
    task = load_task("countdown")
    return [task.prompt(problem, "chat") for problem in task.data_set(None).problems[200:328]]


class TestVllm(GenerationContract, PerturbationContract, EvolutionContract, EvolvedWeightsContract):
    @pytest.fixture
    def engine(self, loaded: VllmEngine) -> VllmEngine:
        return loaded

    @pytest.fixture
    def prompts(self, asked: list[Prompt]) -> list[Prompt]:
        return asked[:20]

    @pytest.fixture
    def scalars(self) -> int:
        return 1_020_288

    def test_what_starts_later_decides_anew_on_a_process_of_its_own(self, engine: VllmEngine) -> None:
        assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in os.environ

    @pytest.mark.parametrize("noise", ["iid", "tied"])
    def test_a_seed_names_the_same_model_as_in_transformers(
        self, engine: VllmEngine, reference: TransformersEngine, noise: str
    ) -> None:
        assert engine.weight_digest() == reference.weight_digest()
        perturbation = Perturbation(seed=57, sigma=0.005, noise=noise)
        with engine.perturbed(perturbation) as touched, reference.perturbed(perturbation) as expected:
            assert touched == expected
            assert engine.weight_digest() == reference.weight_digest()

    def test_fifty_updates_give_the_same_model_everywhere(
        self, engine: VllmEngine, reference: TransformersEngine, tmp_path: Path
    ) -> None:
        trajectory = trained(50, size=0.002)
        state = engine.evolve(trajectory)
        assert reference.evolve(trajectory) == state
        checkpoint = find_checkpoint("tiny")
        assert save_trained(checkpoint, trajectory, "float32", tmp_path / "saved") == (1_020_288, state)
        saved = TransformersEngine.identify(str(tmp_path / "saved"), "float32")
        loaded = TransformersEngine.load(saved, EngineOptions())
        assert engine.weight_digest() == reference.weight_digest() == loaded.weight_digest()
        member = Perturbation(seed=57, sigma=0.005, sign=-1)
        with engine.perturbed(member), reference.perturbed(member):
            assert engine.weight_digest() == reference.weight_digest()
        assert reference.evolve(trained(0)) == engine.evolve(trained(0)) != state

    def test_snapshots_are_the_same_files_as_those_of_transformers(
        self, engine: VllmEngine, reference: TransformersEngine, tmp_path: Path
    ) -> None:
        trajectory, states = trained(4), []
        for folder, one in ((tmp_path / "vllm", engine), (tmp_path / "transformers", reference)):
            states.append(one.evolve(trajectory, folder, write_after_s=0))
            one.evolve(trained(0))
        (theirs,), (ours,) = ((tmp_path / name).iterdir() for name in ("transformers", "vllm"))
        assert ours.name == theirs.name
        held = [load_file(path) for path in (ours, theirs)]
        assert held[0].keys() == held[1].keys()
        assert all(torch.equal(held[0][name], held[1][name]) for name in held[0])
        assert engine.evolve(trajectory, tmp_path / "transformers") == states[0] == states[1]
        engine.evolve(trained(0))

    def test_a_settled_model_is_the_loaded_one(self, engine: VllmEngine, reference: TransformersEngine) -> None:
        before = engine.weight_digest()
        engine.evolve(trained(2))
        digest = engine.weight_digest()
        engine.settle()
        assert engine.provenance()["accumulator"] is None
        engine.evolve(trained(1, run=1))
        assert engine.weight_digest() != digest
        engine.evolve(trained(0))
        assert engine.weight_digest() == digest
        # The other tests' model again, from its checkpoint.
        engine._call("esp_perturb_by_loading", asdict(Perturbation(0, 0.0)))
        engine._pieces.clear()
        assert engine.weight_digest() == before

    def test_greedy_completions_are_those_of_transformers(
        self, engine: VllmEngine, reference: TransformersEngine, asked: list[Prompt]
    ) -> None:
        requests = [request_for(prompt, i, max_tokens=32) for i, prompt in enumerate(asked)]
        perturbation = Perturbation(seed=57, sigma=0.005)
        base = texts(engine, requests), texts(reference, requests)
        with engine.perturbed(perturbation), reference.perturbed(perturbation):
            other = texts(engine, requests), texts(reference, requests)
        assert other[0] != base[0]
        for ours, theirs in (base, other):
            agreed = sum(a == b for a, b in zip(ours, theirs, strict=True))
            assert agreed >= 0.97 * len(requests)  # logits that tie within float32 may fall either way

    def test_more_requests_than_the_window_are_all_answered(self, engine: VllmEngine, asked: list[Prompt]) -> None:
        requests = [r for seed in range(3) for r in drawn(asked, seed=seed, temperature=1.0)]
        assert len(requests) > 2 * 64
        assert len(complete(engine, requests)) == len(requests)

    def test_prompts_that_do_not_fit_into_one_step_are_answered(self, engine: VllmEngine) -> None:
        """vLLM would read the last of them in two parts, after which its CPU build cannot go on drawing with seeds."""
        prompts = [Prompt((), f"{i} " + "12 + 34 " * 150) for i in range(24)]
        assert sum(len(engine._codec.encode(prompt)) for prompt in prompts) > 2 * 4096
        assert len(complete(engine, drawn(prompts))) == len(prompts)

    def test_completions_come_as_they_finish(self, engine: VllmEngine, asked: list[Prompt]) -> None:
        groups = [group for group in engine.generate(drawn(asked), lambda: False) if group]
        assert len(groups) > 3

    def test_a_stop_in_the_middle_leaves_nothing_running(self, engine: VllmEngine, asked: list[Prompt]) -> None:
        requests = drawn(asked)
        seen: list[object] = []
        for group in engine.generate(requests, lambda: len(seen) >= 5):
            seen.extend(group)
        assert 5 <= len(seen) < len(requests)
        assert not engine._engine.has_unfinished_requests()
        assert len(complete(engine, requests)) == len(requests)

    def test_a_consumer_that_fails_leaves_nothing_running(self, engine: VllmEngine, asked: list[Prompt]) -> None:
        stream = engine.generate(drawn(asked), lambda: False)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert not engine._engine.has_unfinished_requests()

    def test_loops_are_ended_only_where_asked(self, engine: VllmEngine, asked: list[Prompt]) -> None:
        """Weights noisy enough to make the model repeat itself."""
        with engine.perturbed(Perturbation(seed=3, sigma=0.05)):
            plain = complete(engine, [request_for(p, i, max_tokens=300) for i, p in enumerate(asked[:40])])
            ended = complete(
                engine, [request_for(p, i, max_tokens=300, stop_loops=True) for i, p in enumerate(asked[:40])]
            )
        assert "loop" not in {answer.finish_reason for answer in plain.values()}
        loops = {r.problem_index: a for r, a in ended.items() if a.finish_reason == "loop"}
        assert loops
        longer = {r.problem_index: a for r, a in plain.items()}
        assert all(longer[i].text.startswith(a.text.rstrip("\ufffd")) for i, a in loops.items())
        assert all(a.token_count < longer[i].token_count for i, a in loops.items())

    def test_what_was_used_is_what_vllm_says(self, engine: VllmEngine) -> None:
        told = engine.provenance()
        assert (told["dtype"], told["max_num_seqs"], told["prefix_caching"]) == ("float32", 64, False)
        assert told["enforce_eager"] is True  # on a CPU, whatever was asked
        assert told["batch_invariant"] is False
        assert told["gpu_memory_utilization"] == EngineOptions().gpu_memory_utilization
        assert told["max_num_batched_tokens"] >= told["max_num_seqs"]
        assert told["kv_cache_blocks"] * told["kv_cache_block_size"] > told["max_model_len"]
        assert "cudagraph_capture_size" in told

    def test_an_answer_under_other_weights_is_refused(self, engine: VllmEngine, asked: list[Prompt]) -> None:
        if not has_weight_versions():
            pytest.skip("completions of this vLLM do not say which weights they were drawn under")
        engine._engine.set_weight_version("someone else's")
        try:
            with pytest.raises(EngineError, match="someone else's"):
                complete(engine, drawn(asked[:2]))
        finally:
            engine._engine.set_weight_version("base")
        assert complete(engine, drawn(asked[:2]))

    def test_weights_do_not_change_under_a_running_request(self, engine: VllmEngine, asked: list[Prompt]) -> None:
        """Whether or not completions say which weights they were drawn under."""
        stream = engine.generate(drawn(asked), lambda: False)
        next(stream)
        with pytest.raises(EngineError, match="still running"), engine.perturbed(Perturbation(1, 0.1)):
            pass
        with pytest.raises(EngineError, match="still running"):
            engine.evolve(trained(1))
        stream.close()  # type: ignore[attr-defined]
        with engine.perturbed(Perturbation(1, 0.1)):
            stream = engine.generate(drawn(asked), lambda: False)
            next(stream)
        with pytest.raises(EngineError, match="changed while"):
            list(stream)
        assert len(complete(engine, drawn(asked))) == len(asked)

    def test_processes_that_cannot_be_watched_are_refused(self, engine: VllmEngine) -> None:
        """A client of a process of its own, as a later vLLM might make it: a run would wait forever for a dead one."""
        client = SimpleNamespace(shutdown=lambda: None, resources=SimpleNamespace())
        changed = SimpleNamespace(engine_core=client, vllm_config=engine._engine.vllm_config)
        with pytest.raises(
            EngineError, match=r"lacks SyncMPClient\.resources\.engine_dead, which esprobe needs to notice"
        ):
            check_engine(changed)

    def test_an_engine_that_caches_prompts_may_not_be_perturbed(self, engine: VllmEngine) -> None:
        caching = object.__new__(VllmEngine)
        caching._options = EngineOptions(perturbs=False)
        with pytest.raises(PerturbationError, match="prefix caching"), caching.perturbed(Perturbation(1, 0.1)):
            pass
