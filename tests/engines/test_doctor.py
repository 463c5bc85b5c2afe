"""The doctor with the transformers engine and small real checkpoints: what is healthy passes, what is not is named."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from esprobe.doctor import Diagnosis, as_json, as_table, check_numbers, diagnose, quick_check, refuse
from esprobe.doctor.diagnosis import examine
from esprobe.doctor.liveness import class_of, representatives
from esprobe.doctor.rounding import rounding, samples
from esprobe.engines import EngineOptions
from esprobe.engines.checkpoint import find_checkpoint
from esprobe.engines.probe import ProbedEngine, Reading, distance
from esprobe.engines.scripted import ScriptedEngine
from esprobe.engines.tensor_groups import group_of
from esprobe.engines.transformers import TransformersEngine
from esprobe.errors import EngineError, ModelError, PerturbationError, UsageError
from esprobe.noise import standard_normal
from esprobe.spec import Perturbation, Prompt
from tests.engines.conftest import MakeCheckpoint
from tests.sampling.material import invoke

UP = "model.layers.1.mlp.up_proj.weight"


def load(folder: Path, dtype: str = "float32") -> TransformersEngine:
    return TransformersEngine.load(TransformersEngine.identify(str(folder), dtype), EngineOptions(perturbs=True))


def examined(engine: TransformersEngine, folder: Path, every: bool = False) -> Diagnosis:
    return examine(engine, find_checkpoint(str(folder)), engine._identity, "transformers", [0.005], every=every)


def failed(diagnosis: Diagnosis) -> set[str]:
    return {check.name for check in diagnosis.checks if not check.ok}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_sound_model_is_found_healthy(make_checkpoint: MakeCheckpoint, dtype: str, tied: bool) -> None:
    folder = make_checkpoint(tie_word_embeddings=tied)
    found = diagnose(str(folder), "transformers", dtype, [0.005], every=True)
    assert (failed(found), found.dead) == (set(), ())
    assert found.healthy
    assert "noise reaches every weight" in as_table(found)
    coverage = next(check.detail for check in found.checks if check.name == "coverage")
    scalars = sum(math.prod(shape) for shape in find_checkpoint(str(folder)).tensors.values())
    assert coverage.startswith(f"{scalars:,} of {scalars:,} scalars")


def test_a_tied_copy_in_the_checkpoint_counts_once(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint()
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    found = diagnose(str(folder), "transformers", "float32", [0.005])
    assert found.healthy
    assert "1 tied" in as_table(found)


class TestInjectedFaults:
    """Faults in the loaded model; a perturbation goes where the weights were when it was first made."""

    @pytest.fixture
    def folder(self, make_checkpoint: MakeCheckpoint) -> Path:
        return make_checkpoint()

    @pytest.fixture
    def engine(self, folder: Path) -> TransformersEngine:
        loaded = load(folder)
        with loaded.perturbed(Perturbation(1, 0.1)):
            pass  # from here on its pristine copy knows where the weights are
        return loaded

    def test_a_tensor_that_noise_no_longer_reaches_is_named(self, engine: TransformersEngine, folder: Path) -> None:
        layer = engine._model.model.layers[1].mlp.up_proj
        layer.weight = torch.nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
        found = examined(engine, folder)
        assert found.dead == (UP,)
        assert failed(found) == {"alive in prefill", "alive in decode steps"}
        assert UP in as_table(found)
        assert "do not perturb this model here" in as_table(found)

    def test_only_all_tensors_show_a_fault_in_a_middle_layer(self, make_checkpoint: MakeCheckpoint) -> None:
        folder = make_checkpoint(num_hidden_layers=3)
        engine = load(folder)
        with engine.perturbed(Perturbation(1, 0.1)):
            pass
        layer = engine._model.model.layers[1].mlp.up_proj
        layer.weight = torch.nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
        assert examined(engine, folder).healthy
        assert examined(engine, folder, every=True).dead == (UP,)

    def test_a_tensor_that_is_dead_in_decode_steps_only(self, engine: TransformersEngine, folder: Path) -> None:
        projection = engine._model.model.layers[1].mlp.up_proj
        stale = projection.weight.detach().clone()
        projection.register_forward_hook(
            lambda module, given, out: torch.nn.functional.linear(given[0], stale) if given[0].shape[1] == 1 else out
        )
        found = examined(engine, folder)
        assert (found.dead, failed(found)) == ((UP,), {"alive in decode steps"})

    def test_a_stale_tied_head(self, engine: TransformersEngine, folder: Path) -> None:
        """Noise on the embedding still changes every answer; only the head shows that it computes with a copy."""
        stale = engine._model.lm_head.weight.detach().clone()
        engine._model.lm_head.register_forward_hook(
            lambda module, given, out: torch.nn.functional.linear(given[0], stale)
        )
        assert failed(examined(engine, folder)) == {"output head"}
        with pytest.raises(PerturbationError, match="output head: does not see the noise"):
            quick_check(engine)

    def test_weights_that_do_not_come_back(self, engine: TransformersEngine, folder: Path) -> None:
        assert engine._pristine is not None
        engine._pristine._base[3].view(-1)[0] += 0.5
        assert {"restore", "canaries return"} <= failed(examined(engine, folder))
        engine._pristine._base[3].view(-1)[0] += 0.5
        with pytest.raises(PerturbationError, match="restore: weights are not what they were"):
            quick_check(engine)

    def test_answers_that_do_not_repeat(self, engine: TransformersEngine, folder: Path) -> None:
        engine._model.model.norm.register_forward_hook(lambda module, given, out: out + 3 * torch.randn_like(out))
        found = examined(engine, folder)
        assert {"canaries repeat", "canaries return"} <= failed(found)
        assert "alive in prefill" not in {check.name for check in found.checks}  # it could not be told


class TestCheckNumbers:
    def test_a_sound_model_passes(self, checkpoint: Path) -> None:
        check_numbers(load(checkpoint))

    @pytest.fixture
    def broken(self, make_checkpoint: MakeCheckpoint) -> Path:
        folder = make_checkpoint()
        tensors = load_file(folder / "model.safetensors")
        tensors["model.norm.weight"][3] = float("nan")
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return folder

    def test_a_model_that_computes_what_is_no_number_is_refused(self, broken: Path) -> None:
        with pytest.raises(
            ModelError, match=r"NaN logits in float32.*; check that its weights are complete and finite"
        ):
            check_numbers(load(broken))

    def test_of_float16_the_narrow_range_may_be_the_cause(self, broken: Path) -> None:
        engine = TransformersEngine.load(TransformersEngine.identify(str(broken), "float16"), EngineOptions())
        with pytest.raises(ModelError, match="; use --dtype bfloat16 or float32, .* or check that its weights"):
            check_numbers(engine)

    def test_it_is_what_the_doctor_says_of_it(self, broken: Path) -> None:
        with pytest.raises(ModelError, match="produces NaN logits"):
            diagnose(str(broken), "transformers", "float32", [])


class TestQuickCheck:
    def test_a_sound_model_passes_with_a_line_for_each_check(self, checkpoint: Path) -> None:
        lines = quick_check(load(checkpoint))
        assert len(lines) == 6
        assert lines[0].startswith("coverage: ")

    def test_an_engine_without_weights_has_nothing_to_check(self, script: Path) -> None:
        engine = ScriptedEngine.load(ScriptedEngine.identify(str(script), "auto"), EngineOptions())
        assert not isinstance(engine, ProbedEngine)
        assert quick_check(engine) == []

    def test_a_tensor_that_the_architecture_ignores_is_refused(self, make_checkpoint: MakeCheckpoint) -> None:
        folder = make_checkpoint()
        tensors = load_file(folder / "model.safetensors")
        tensors["model.layers.0.extra.weight"] = torch.zeros(3)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(PerturbationError, match=r"model\.layers\.0\.extra\.weight"):
            quick_check(load(folder))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised .*gptq"),
        ({"text_config": {"quantization_config": {"quant_method": "awq"}}}, "quantised .*awq"),
        ({"compression_config": {"format": "pack"}}, "quantised"),
        ({"num_local_experts": 8}, "mixture of experts .*num_local_experts 8"),
        ({"num_experts": 60}, "mixture of experts .*num_experts 60"),
        ({"text_config": {"n_routed_experts": 64}}, "mixture of experts .*n_routed_experts 64"),
    ],
)
def test_models_that_cannot_be_perturbed_truly_are_refused_with_the_reason(
    checkpoint: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    folder = tmp_path / "refused"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(PerturbationError, match=said):
        refuse(find_checkpoint(str(folder)))
    with pytest.raises(PerturbationError, match=said):
        diagnose(str(folder), "transformers", "float32", [0.005])


def test_a_sampling_command_refuses_them_before_anything_is_loaded(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "refused"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    command = ["sample-perturb", "--model", folder, "--engine", "transformers", "--sigma", "0.005"]
    done = invoke(*command, "--db", tmp_path / "e.db")
    assert done.code == 1 and "is quantised" in done.stderr and "loading" not in done.stderr
    assert not (tmp_path / "e.db").exists()


def test_a_dense_model_is_not_refused(checkpoint: Path) -> None:
    refuse(find_checkpoint(str(checkpoint)))


def test_what_cannot_be_examined(script: Path, checkpoint: Path) -> None:
    with pytest.raises(EngineError, match="no weights"):
        diagnose(str(script), "scripted", "auto", [0.005])
    for sigma in (0.0, 1e-320, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="--sigma must be from"):
            diagnose(str(checkpoint), "transformers", "float32", [sigma])


class TestRounding:
    def test_shares_are_those_of_the_perturbed_weights(self, checkpoint: Path) -> None:
        """All elements, from the definition of noise v1; tensors here are small enough to be sampled whole."""
        model = find_checkpoint(str(checkpoint))
        small = [name for name, shape in model.tensors.items() if math.prod(shape) <= 8192]
        found = rounding(list(samples(model, small, "bfloat16")), [0.001, 0.01])
        base = load_file(checkpoint / "model.safetensors")
        for entry in found:
            still = total = 0
            squares = 0.0
            for name in small:
                if group_of(name) == entry.group:
                    weights = base[name].reshape(-1).to(torch.bfloat16)
                    noise = np.float32(entry.sigma) * standard_normal(57, name, 0, weights.numel())
                    moved = (weights.float() + torch.from_numpy(noise)).to(torch.bfloat16)
                    still += int((moved == weights).sum())
                    squares += float((moved.double() - weights.double()).square().sum())
                    total += weights.numel()
            assert (entry.sampled, entry.unmoved) == (total, still / total)
            assert entry.spread == pytest.approx(math.sqrt(squares / total) / entry.sigma)
        norms = {entry.sigma: entry for entry in found if entry.group == "norm"}
        # A norm's weights are 1, and bfloat16 steps there by 1/128 upward and 1/256 downward.
        assert norms[0.001].unmoved > 0.9 > 0.4 > norms[0.01].unmoved

    def test_large_tensors_are_sampled_from_start_to_end(self, make_checkpoint: MakeCheckpoint) -> None:
        model = find_checkpoint(str(make_checkpoint(vocab_size=1001, hidden_size=36)))
        name = "model.embed_tokens.weight"
        found = list(samples(model, [name], "float32"))
        assert [(s.start, s.weights.numel()) for s in found] == [(0, 2048), (11329, 2048), (22658, 2048), (33987, 2048)]
        whole = load_file(model.folder / "model.safetensors")[name].reshape(-1)
        assert all(torch.equal(s.weights, whole[s.start : s.start + 2048]) for s in found)

    @pytest.mark.parametrize(
        ("name", "group"),
        [
            ("model.embed_tokens.weight", "embedding"),
            ("lm_head.weight", "embedding"),
            ("model.layers.3.self_attn.q_proj.weight", "attention"),
            ("model.layers.3.self_attn.q_proj.bias", "bias"),
            ("model.layers.3.self_attn.q_norm.weight", "norm"),
            ("model.layers.3.post_attention_layernorm.weight", "norm"),
            ("model.layers.3.mlp.up_proj.weight", "mlp"),
            ("transformer.h.0.ln_1.weight", "norm"),
            ("model.gate.weight", "other"),
        ],
    )
    def test_classes(self, name: str, group: str) -> None:
        assert group_of(name) == group


def test_one_tensor_of_each_class_is_the_first_and_the_last() -> None:
    names = ["a.weight", *(f"layers.{i}.mlp.{part}.weight" for i in range(11) for part in ("up", "down"))]
    assert class_of("layers.10.mlp.up.weight") == "layers.*.mlp.up.weight"
    assert set(representatives(names)) == {
        "a.weight",
        *(f"layers.{i}.mlp.{part}.weight" for i in (0, 10) for part in ("up", "down")),
    }


def test_readings_differ_by_tokens_or_by_log_probabilities() -> None:
    one = [Reading((1, 2), ((-0.5, -1.0), (-0.25, -2.0)))]
    assert distance(one, one) == 0
    assert distance(one, [Reading((1, 2), ((-0.5, -1.0), (-0.75, -2.0)))]) == 0.5
    assert distance(one, [Reading((1, 3), one[0].logprobs)]) == math.inf
    assert distance(one, [Reading((9, 2), ((-9.0, -9.0), (-0.25, -2.0)))], first=1) == 0
    assert distance(one, [Reading((1, 2), ((-0.5, math.nan), (-0.25, -2.0)))]) == math.inf
    unreachable = [Reading((1,), ((-0.5, -math.inf),))]
    assert distance(unreachable, unreachable) == 0


def test_a_probe_decodes_under_other_weights_than_it_reads(checkpoint: Path) -> None:
    engine = load(checkpoint)
    prompts = [Prompt((), "one and"), Prompt((), "two and more and")]
    other = Perturbation(5, 0.3)
    base, before = engine.probe(prompts, 3), engine.weight_digest()
    mixed = engine.probe(prompts, 3, decoding=other)
    assert engine.weight_digest() == before
    with engine.perturbed(other):
        perturbed = engine.probe(prompts, 3)
    for plain, both, noisy in zip(base, mixed, perturbed, strict=True):
        assert both.tokens[0] == plain.tokens[0]
        assert both.logprobs[0] == plain.logprobs[0] != noisy.logprobs[0]
        assert both.logprobs[1] != plain.logprobs[1]
        assert both.logprobs[1:] != noisy.logprobs[1:]


def test_a_probe_is_greedy_decoding(checkpoint: Path) -> None:
    engine = load(checkpoint)
    prompt = Prompt((), "The number of")
    (reading,) = engine.probe([prompt], 5)
    ids = engine._codec.encode(prompt)
    with torch.no_grad():
        for step, token in enumerate(reading.tokens):
            logits = engine._model(torch.tensor([ids])).logits[0, -1]
            assert int(logits.argmax()) == token
            best = torch.log_softmax(logits, -1).topk(5).values
            assert torch.allclose(torch.tensor(reading.logprobs[step]), best, atol=1e-4)
            ids = [*ids, token]


def test_the_json_says_what_the_table_says(checkpoint: Path) -> None:
    found = diagnose(str(checkpoint), "transformers", "float16", [0.001, 0.01])
    document = json.loads(as_json(found))
    assert list(document) == [
        "schema", "model", "fingerprint", "dtype", "engine", "healthy", "checks", "dead", "rounding",
    ]  # fmt: skip
    assert (document["schema"], document["dtype"], document["healthy"], document["dead"]) == (1, "float16", True, [])
    assert [c["name"] for c in document["checks"]] == [c.name for c in found.checks]
    assert {entry["sigma"] for entry in document["rounding"]} == {0.001, 0.01}
    assert all(check.name in as_table(found) for check in found.checks)
