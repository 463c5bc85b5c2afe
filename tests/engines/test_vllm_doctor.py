"""The doctor and save-model against the real vLLM: its CPU build is enough."""

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from esprobe.doctor import Diagnosis, quick_check
from esprobe.doctor.checks import perturbed_names
from esprobe.doctor.diagnosis import examine
from esprobe.doctor.graphs import graphs
from esprobe.doctor.rounding import samples, scales
from esprobe.engines import EngineOptions
from esprobe.engines.checkpoint import find_checkpoint
from esprobe.engines.probe import ProbedEngine, distance
from esprobe.engines.save import save_perturbed
from esprobe.engines.transformers import TransformersEngine
from esprobe.errors import PerturbationError
from esprobe.spec import Perturbation, Prompt
from tests.conftest import REPOSITORY
from tests.engines.contract import request_for, texts

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

from esprobe.engines.vllm import VllmEngine  # noqa: E402 - imports vllm only when an engine is made

PROMPTS = [Prompt((), "Using the numbers 3 and 4"), Prompt((), "and the number that follows is 12, so that")]
DOWN = "model.layers.3.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def engine() -> Iterator[VllmEngine]:
    """One engine a process: vLLM keeps global state."""
    yield VllmEngine.load(VllmEngine.identify("tiny", "float32"), EngineOptions(perturbs=True, max_num_seqs=16))


@pytest.fixture
def model(engine: VllmEngine) -> Any:
    """The model that vLLM computes with; this build runs in our own process."""
    return engine._engine.model_executor.driver_worker.worker.model_runner.model


def examined(engine: VllmEngine, every: bool = False) -> Diagnosis:
    return examine(engine, find_checkpoint("tiny"), engine._identity, "vllm", [0.005], every=every)


def failed(diagnosis: Diagnosis) -> set[str]:
    return {check.name for check in diagnosis.checks if not check.ok}


def test_the_bundled_model_is_found_healthy_tensor_by_tensor(engine: VllmEngine) -> None:
    assert isinstance(engine, ProbedEngine)
    found = examined(engine, every=True)
    assert (failed(found), found.dead) == (set(), ())
    coverage = next(check.detail for check in found.checks if check.name == "coverage")
    assert coverage.startswith("1,020,288 of 1,020,288 scalars")
    assert len(quick_check(engine)) == 6


def test_readings_are_those_of_transformers(engine: VllmEngine) -> None:
    reference = TransformersEngine.load(TransformersEngine.identify("tiny", "float32"), EngineOptions())
    noise = Perturbation(9, 0.02)
    for decoding in (None, noise):
        ours, theirs = (e.probe(PROMPTS, 4, decoding=decoding) for e in (engine, reference))
        assert distance(ours, theirs) < 1e-3
    assert distance(engine.probe(PROMPTS, 4, decoding=noise), engine.probe(PROMPTS, 4), first=1) > 1e-3
    assert engine.probe_head() == pytest.approx(reference.probe_head(), abs=1e-4)


def stale(linear: Any, when: Callable[[Any], bool]) -> Any:
    """Makes a vLLM linear layer compute with a copy of its weight; returns what undoes it."""
    import torch

    kept = linear.weight.detach().clone()
    return linear.register_forward_hook(
        lambda module, given, out: (torch.nn.functional.linear(given[0], kept), out[1]) if when(given[0]) else out
    )


def test_a_dead_tensor_is_named(engine: VllmEngine, model: Any) -> None:
    undo = stale(model.model.layers[3].mlp.down_proj, lambda x: True)
    try:
        found = examined(engine)
    finally:
        undo.remove()
    assert (found.dead, failed(found)) == ((DOWN,), {"alive in prefill", "alive in decode steps"})


def test_a_tensor_that_is_dead_in_decode_steps_only_is_named(engine: VllmEngine, model: Any) -> None:
    undo = stale(model.model.layers[3].mlp.down_proj, lambda x: x.shape[0] <= 2)  # a token for each of two canaries
    try:
        found = examined(engine)
    finally:
        undo.remove()
    assert (found.dead, failed(found)) == ((DOWN,), {"alive in decode steps"})


def test_every_size_that_may_have_a_graph_is_found_healthy(engine: VllmEngine) -> None:
    """On a CPU there are no graphs, but any number of tokens can be examined as if there were."""
    assert list(engine.graph_sizes()) == []
    checkpoint = find_checkpoint("tiny")
    names = perturbed_names(checkpoint, "float32")
    found, dead = graphs(engine, names, scales(list(samples(checkpoint, names, "float32"))), [1, 2, 8, 100_000])
    assert ([check.ok for check in found], dead) == ([True, True], [])
    assert [check.detail.split(":")[0] for check in found] == ["2 of 4 sizes", "3 of 4 sizes"]


def test_a_tensor_that_is_dead_in_steps_of_one_size_only_is_named(engine: VllmEngine, model: Any) -> None:
    """As in a graph that was captured before the tensor moved."""
    undo = stale(model.model.layers[3].mlp.down_proj, lambda x: x.shape[0] == 8)
    try:
        found, dead = graphs(engine, [DOWN, "model.norm.weight"], {DOWN: 0.1, "model.norm.weight": 1.0}, [4, 8, 16])
    finally:
        undo.remove()
    assert ([check.ok for check in found], dead) == ([False, False], [DOWN])
    assert {check.detail for check in found} == {f"dead or unsteady: {DOWN} in those of 8"}


def test_a_stale_tied_head_is_found(engine: VllmEngine, model: Any) -> None:
    engine.weight_digest()  # the weights have been followed; from here on a copy is not seen by the trace
    live = model.lm_head
    assert live is model.model.embed_tokens or live.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    model.lm_head = copy.deepcopy(live)
    try:
        with pytest.raises(PerturbationError, match="output head"):
            quick_check(engine)
        assert failed(examined(engine)) == {"output head"}
    finally:
        model.lm_head = live
    assert quick_check(engine)


def test_a_saved_model_has_the_weights_and_answers_of_the_perturbed_one(engine: VllmEngine, tmp_path: Path) -> None:
    noise = Perturbation(57, 0.005)
    save_perturbed(find_checkpoint("tiny"), noise, "float32", tmp_path / "saved")
    saved = TransformersEngine.load(TransformersEngine.identify(str(tmp_path / "saved"), "float32"), EngineOptions())
    with engine.perturbed(noise):
        assert engine.weight_digest() == saved.weight_digest()
        assert distance(engine.probe(PROMPTS, 8), saved.probe(PROMPTS, 8)) < 1e-3


SAVED = """
import sys
from esprobe.engines import EngineOptions
from esprobe.engines.vllm import VllmEngine
from esprobe.spec import Prompt
from tests.engines.contract import request_for, texts

engine = VllmEngine.load(VllmEngine.identify(sys.argv[1], "float32"), EngineOptions(perturbs=True, max_num_seqs=16))
requests = [request_for(Prompt((), f"Using the numbers {i} and 4"), i) for i in range(16)]
print("told:" + engine.weight_digest() + repr(texts(engine, requests)))
"""


def test_vllm_loads_a_saved_model_as_the_perturbed_one(engine: VllmEngine, tmp_path: Path) -> None:
    """In a process of its own: vLLM serves one model a process."""
    noise = Perturbation(57, 0.005)
    save_perturbed(find_checkpoint("tiny"), noise, "float32", tmp_path / "saved")
    requests = [request_for(Prompt((), f"Using the numbers {i} and 4"), i) for i in range(16)]
    unperturbed = texts(engine, requests)
    with engine.perturbed(noise):
        expected, answers = engine.weight_digest(), texts(engine, requests)
    assert answers != unperturbed
    command = [sys.executable, "-c", SAVED, str(tmp_path / "saved")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=REPOSITORY, check=False)
    assert f"told:{expected}{answers!r}" in done.stdout.splitlines(), done.stderr[-3000:]
