"""The transformers engine, with real (small, random) checkpoints."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from esprobe.doctor import quick_check
from esprobe.engines import EngineOptions
from esprobe.engines.checkpoint import find_checkpoint
from esprobe.engines.save import save_perturbed
from esprobe.engines.transformers import TransformersEngine
from esprobe.errors import ModelError, PerturbationError
from esprobe.noise import standard_normal
from esprobe.spec import Perturbation, Prompt
from tests.engines.conftest import MakeCheckpoint
from tests.engines.contract import (
    EvolutionContract,
    EvolvedWeightsContract,
    GenerationContract,
    PerturbationContract,
    drawn,
    request_for,
    texts,
)


def load(folder: Path, dtype: str = "float32") -> TransformersEngine:
    return TransformersEngine.load(TransformersEngine.identify(str(folder), dtype), EngineOptions(batch_size=8))


def logits(engine: TransformersEngine) -> torch.Tensor:
    with torch.inference_mode():
        return engine._model(torch.arange(40).reshape(2, 20)).logits.clone()


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> TransformersEngine:
    return load(checkpoint)


class TestTransformers(GenerationContract, PerturbationContract, EvolutionContract, EvolvedWeightsContract):
    @pytest.fixture
    def engine(self, loaded: TransformersEngine) -> TransformersEngine:
        return loaded

    @pytest.fixture
    def scalars(self, engine: TransformersEngine) -> int:
        return sum(parameter.numel() for parameter in engine._model.parameters())

    def test_a_rollout_does_not_depend_on_its_neighbours(
        self, engine: TransformersEngine, prompts: list[Prompt]
    ) -> None:
        requests = drawn(prompts, temperature=1.0)
        together = texts(engine, requests)
        assert [texts(engine, [request])[0] for request in requests] == together

    def test_the_global_generator_is_neither_used_nor_moved(
        self, engine: TransformersEngine, prompts: list[Prompt]
    ) -> None:
        torch.manual_seed(1)
        state = torch.get_rng_state()
        first = texts(engine, drawn(prompts))
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        assert texts(engine, drawn(prompts)) == first

    def test_greedy_text_is_that_of_plain_generate(self, engine: TransformersEngine, prompts: list[Prompt]) -> None:
        for i, prompt in enumerate(prompts):
            ids = torch.tensor([engine._codec.encode(prompt)])
            plain = engine._model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24
            )[0, ids.shape[1] :]
            assert texts(engine, [request_for(prompt, i)]) == [
                engine._codec._tokenizer.decode(plain, skip_special_tokens=True)
            ]

    @pytest.mark.parametrize(
        "name",
        [
            "model.embed_tokens.weight",
            "model.layers.0.self_attn.q_proj.weight",
            "model.layers.0.self_attn.k_proj.bias",
            "model.layers.1.self_attn.v_proj.weight",
            "model.layers.1.self_attn.o_proj.weight",
            "model.layers.0.mlp.gate_proj.weight",
            "model.layers.1.mlp.up_proj.weight",
            "model.layers.1.mlp.down_proj.weight",
            "model.layers.0.input_layernorm.weight",
            "model.layers.1.post_attention_layernorm.weight",
            "model.norm.weight",
        ],
    )
    def test_every_kind_of_tensor_reaches_the_logits(self, engine: TransformersEngine, name: str) -> None:
        before = logits(engine)
        with engine.perturbed(Perturbation(seed=1, sigma=0.05, scope=f"^{name}$")) as touched:
            assert touched == engine._model.get_parameter(name).numel()
            assert not torch.equal(logits(engine), before)
        assert torch.equal(logits(engine), before)

    def test_a_scope_that_matches_nothing_is_refused(self, engine: TransformersEngine) -> None:
        with (
            pytest.raises(PerturbationError, match="scope 'nothing'"),
            engine.perturbed(Perturbation(1, 0.1, scope="nothing")),
        ):
            pass


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("scheme", ["iid", "tied"])
def test_weights_are_noise_v1_to_the_bit(checkpoint: Path, dtype: str, scheme: str) -> None:
    engine = load(checkpoint, dtype)
    base = {name: tensor.clone() for name, tensor in engine._model.state_dict().items()}
    with engine.perturbed(Perturbation(seed=57, sigma=0.005, noise=scheme)):
        for name in find_checkpoint(str(checkpoint)).tensors:
            noise = standard_normal(57, name, 0, base[name].numel(), scheme)
            exact = base[name].float().numpy() + np.float32(0.005) * noise.reshape(base[name].shape)
            live = engine._model.state_dict()[name]
            assert live.dtype == base[name].dtype
            assert torch.equal(live, torch.from_numpy(exact).to(live.dtype)), name


def test_a_tied_head_in_the_checkpoint_is_perturbed_once(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint()
    tensors = load_file(folder / "model.safetensors")
    assert "lm_head.weight" not in tensors
    plain = load(folder)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    both = load(folder)
    with plain.perturbed(Perturbation(3, 0.1)) as touched, both.perturbed(Perturbation(3, 0.1)) as again:
        assert touched == again
        assert torch.equal(logits(plain), logits(both))


def gpt2(folder: Path, tokenizer: Path, head: float | None) -> Path:
    """A GPT-2, whose head is tied by default: its configuration does not say so. ``head`` is added to a stored copy."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=280, n_embd=32, n_layer=2, n_head=4, n_positions=128)).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("tie_word_embeddings", None)
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, folder)
    if head is not None:
        tensors = load_file(folder / "model.safetensors")
        tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + head
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("head", [None, 0.0, 0.5], ids=["not stored", "a copy", "other numbers"])
def test_a_head_that_the_architecture_ties_by_default(checkpoint: Path, tmp_path: Path, head: float | None) -> None:
    """What is tied follows from the numbers in the files; the engine, save-model and the doctor agree."""
    found = find_checkpoint(str(gpt2(tmp_path / "gpt2", checkpoint, head)))
    tied = {"lm_head.weight": "transformer.wte.weight"} if head == 0.0 else {}
    assert found.tied_copies("float32") == tied
    engine = load(found.folder)
    assert quick_check(engine)[0].startswith("coverage: ")
    scalars = sum(math.prod(shape) for name, shape in found.tensors.items() if name not in tied)
    with engine.perturbed(Perturbation(57, 0.05)) as touched:
        assert touched == scalars
        digest = engine.weight_digest()
    assert save_perturbed(found, Perturbation(57, 0.05), "float32", tmp_path / "out") == touched
    assert load(tmp_path / "out").weight_digest() == digest


def test_a_head_that_nothing_ties_is_no_copy_though_its_numbers_are_equal(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint(tie_word_embeddings=False)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert find_checkpoint(str(folder)).tied_copies("float32") == {}
    assert quick_check(load(folder))


OUT_OF_MEMORY = """
import resource, torch
from esprobe.engines.slices import WeightSlice
from esprobe.engines.weights import PristineWeights
from esprobe.errors import PerturbationError

live = torch.empty(2**28)  # 1 GiB of addresses, no page of which is used
with open("/proc/self/statm") as file:
    held = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**28, resource.RLIM_INFINITY))
try:
    PristineWeights([WeightSlice("a", live.numel(), 0, live)])
except PerturbationError as err:
    print("refused:", err)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_a_pristine_copy_for_which_there_is_no_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.startswith("refused: ") and "1.00 GiB on cpu" in done.stdout and "--dtype" in done.stdout


def test_noise_is_computed_in_as_many_threads_as_torch_may_use() -> None:
    code = "from esprobe.engines.weights import noise_threads; print(noise_threads())"
    for asked in ("1", "1000"):
        environment = os.environ | {"OMP_NUM_THREADS": asked}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        assert int(done.stdout) == min(int(asked), usable)


def test_an_untied_head_has_noise_of_its_own(make_checkpoint: MakeCheckpoint) -> None:
    engine = load(make_checkpoint(tie_word_embeddings=False))
    state = engine._model.state_dict()
    base = {name: state[name].clone() for name in ("lm_head.weight", "model.embed_tokens.weight")}
    with engine.perturbed(Perturbation(3, 0.1)):
        head, embedding = (state[name] - base[name] for name in base)
        assert head.std() > 0.09
        assert not torch.allclose(head, embedding, atol=1e-3)


def test_tensors_under_other_names_are_refused(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint()
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.extra.weight"] = torch.zeros(3)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    engine = load(folder)
    with (
        pytest.raises(PerturbationError, match=r"model\.layers\.0\.extra\.weight"),
        engine.perturbed(Perturbation(1, 0.1)),
    ):
        pass


def test_a_parameter_that_no_noise_would_reach_is_refused(checkpoint: Path) -> None:
    engine = load(checkpoint)
    engine._model.model.norm.stowaway = torch.nn.Parameter(torch.zeros(5))
    with pytest.raises(PerturbationError, match=r"stowaway \(5 scalars\)"), engine.perturbed(Perturbation(1, 0.1)):
        pass


def test_the_checkpoints_own_sampling_settings_are_not_applied(make_checkpoint: MakeCheckpoint) -> None:
    plain = make_checkpoint()
    opinionated = plain.parent / "opinionated"
    shutil.copytree(plain, opinionated)
    settings = json.loads((plain / "generation_config.json").read_text())
    settings |= {"repetition_penalty": 9.0, "do_sample": True, "top_k": 1, "top_p": 0.1, "temperature": 9.0}
    (opinionated / "generation_config.json").write_text(json.dumps(settings))
    prompts = [Prompt((), f"{i} says") for i in range(5)]
    sampled, greedy = drawn(prompts, temperature=1.0), [request_for(p, i) for i, p in enumerate(prompts)]
    for requests in (sampled, greedy):
        assert texts(load(plain), requests) == texts(load(opinionated), requests)


def test_every_end_token_of_the_checkpoint_ends_a_completion(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint()
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": list(range(250))}))
    requests = drawn([Prompt((), f"{i} says") for i in range(8)], temperature=1.0)
    answers = [answer for group in load(folder).generate(requests, lambda: False) for answer in group]
    assert "stop" in {answer.finish_reason for answer in answers}
    assert all(answer.text == "" for answer in answers if answer.token_count == 1 and answer.finish_reason == "stop")


def test_a_chat_prompt_without_a_template_is_refused(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint()
    (folder / "chat_template.jinja").unlink()
    engine = load(folder)
    with pytest.raises(ModelError, match="--prompt raw"):
        texts(engine, [request_for(Prompt((("user", "hi"),), ""), 0)])
    assert texts(engine, [request_for(Prompt((), "hi"), 0)])


def test_prompts_past_the_models_positions_are_refused(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=r"--max-tokens 5\d\d or less"):
        texts(load(checkpoint), [request_for(Prompt((), "hi"), 0, max_tokens=512)])


class TestCheckpoint:
    def test_the_fingerprint_follows_content_not_place(self, make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
        folder = make_checkpoint()
        moved = tmp_path / "moved"
        shutil.copytree(folder, moved)
        (moved / "README.md").write_text("a card")
        (moved / "trainer_state.json").write_text("{}")
        assert find_checkpoint(str(moved)).fingerprint == find_checkpoint(str(folder)).fingerprint

    @pytest.mark.parametrize(
        ("content", "told"),
        [("{", "is not valid JSON"), ("[]", "holds a list"), ("{}", "is empty"), ("\xff", "is not valid JSON")],
    )
    def test_a_broken_config_is_told_before_anything_loads(
        self, checkpoint: Path, tmp_path: Path, content: str, told: str
    ) -> None:
        broken = tmp_path / "broken"
        shutil.copytree(checkpoint, broken)
        (broken / "config.json").write_bytes(content.encode("latin-1"))
        with pytest.raises(ModelError, match=told):
            find_checkpoint(str(broken))

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
    def test_the_fingerprint_sees_every_decisive_file(self, checkpoint: Path, tmp_path: Path, name: str) -> None:
        changed = tmp_path / "changed"
        shutil.copytree(checkpoint, changed)
        with (changed / name).open("ab") as file:
            file.write(b"\n")
        assert find_checkpoint(str(changed)).fingerprint != find_checkpoint(str(checkpoint)).fingerprint

    @pytest.mark.parametrize(
        ("model", "said"),
        [
            ("./nowhere", "no folder './nowhere'"),
            ("just-a-word", "no hub id"),
            ("nobody/no-such-model", "cannot be fetched from the hub"),
        ],
    )
    def test_a_model_that_is_not_there(self, model: str, said: str) -> None:
        with pytest.raises(ModelError, match=said):
            find_checkpoint(model)

    @pytest.mark.parametrize("index", [False, True])
    def test_a_second_set_of_weights_is_no_part_of_the_model(
        self, checkpoint: Path, tmp_path: Path, index: bool
    ) -> None:
        folder = tmp_path / "two"
        shutil.copytree(checkpoint, folder)
        tensors = load_file(folder / "model.safetensors")
        save_file({f"other.{name}": tensor for name, tensor in tensors.items()}, folder / "consolidated.safetensors")
        if index:
            (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
            named = dict.fromkeys(tensors, "model-00001-of-00001.safetensors")
            (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": named}))
        else:
            assert find_checkpoint(str(folder)).fingerprint == find_checkpoint(str(checkpoint)).fingerprint
        assert find_checkpoint(str(folder)).tensors == find_checkpoint(str(checkpoint)).tensors
        engine, alone = (
            TransformersEngine.load(TransformersEngine.identify(str(one), "float32"), EngineOptions(batch_size=8))
            for one in (folder, checkpoint)
        )
        with engine.perturbed(Perturbation(57, 0.05)) as touched, alone.perturbed(Perturbation(57, 0.05)) as expected:
            assert touched == expected
            assert engine.weight_digest() == alone.weight_digest()
        assert (
            save_perturbed(find_checkpoint(str(folder)), Perturbation(57, 0.05), "float32", tmp_path / "out") == touched
        )

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("{", "does not say which file"),
            ('{"weight_map": {"a": "gone.safetensors"}}', "gone.safetensors, which does not exist"),
        ],
    )
    def test_an_index_that_leads_nowhere(self, checkpoint: Path, tmp_path: Path, content: str, told: str) -> None:
        folder = tmp_path / "broken"
        shutil.copytree(checkpoint, folder)
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        (folder / "model.safetensors.index.json").write_text(content)
        with pytest.raises(ModelError, match=told):
            TransformersEngine.identify(str(folder), "float32")

    def test_folders_that_are_no_checkpoints(self, checkpoint: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"no config\.json"):
            find_checkpoint(str(tmp_path))
        shutil.copy(checkpoint / "config.json", tmp_path)
        with pytest.raises(ModelError, match=r"no \.safetensors"):
            find_checkpoint(str(tmp_path))
        with pytest.raises(ModelError, match="is a file"):
            find_checkpoint(str(checkpoint / "config.json"))

    def test_truncated_weights(self, checkpoint: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        shutil.copytree(checkpoint, broken)
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:5000])
        with pytest.raises(ModelError, match="safetensors"):
            find_checkpoint(str(broken)).tensors  # noqa: B018
        with pytest.raises(ModelError, match="cannot load"):
            load(broken)

    @pytest.mark.parametrize("name", ["model.layers.1.mlp.down_proj.weight", "model.norm.weight"])
    def test_weights_that_would_be_made_up(self, make_checkpoint: MakeCheckpoint, name: str) -> None:
        folder = make_checkpoint()
        tensors = load_file(folder / "model.safetensors")
        del tensors[name]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(ModelError, match=f"lacks 1 of the weights of a Qwen2ForCausalLM .first: {name}."):
            load(folder)
