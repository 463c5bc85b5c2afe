"""``doctor`` and ``save-model`` as they are typed: exit codes, streams, JSON."""

import json
import shutil
from pathlib import Path

import pytest

import esprobe.bundled
from tests.conftest import Run

pytest.importorskip("transformers")

TINY = Path(esprobe.bundled.__file__).parent / "tiny"


@pytest.mark.slow
def test_a_sound_model_is_exit_0_and_the_saved_one_is_another_model(esprobe: Run, tmp_path: Path) -> None:
    saved = esprobe("save-model", "--model", "tiny", "--sigma", "0.005", "--seed", "57", "--dtype", "float16", "OUT/")
    assert (saved.returncode, saved.stderr) == (0, "")
    assert saved.stdout == ("tiny at sigma 0.005, seed 57 (float16) written to OUT: 1,020,288 scalars perturbed\n")
    again = esprobe("save-model", "--model", "tiny", "--sigma", "0.005", "--seed", "57", "OUT")
    assert (again.returncode, again.stdout) == (1, "")
    assert "not empty" in again.stderr

    done = esprobe("doctor", "--model", "OUT", "--engine", "transformers", "--dtype", "float16", "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["healthy"], document["model"], document["dtype"]) == (True, "OUT", "float16")
    assert {entry["sigma"] for entry in document["rounding"]} == {0.001, 0.003, 0.005, 0.01}
    assert "loading OUT (float16, transformers)" in done.stderr


@pytest.mark.slow
def test_an_unhealthy_model_is_exit_1_with_the_table(esprobe: Run, tmp_path: Path) -> None:
    """Real weights, made deaf: zero down projections and head-side norms let no other tensor of the layer through."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "deaf"
    shutil.copytree(TINY, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.3.mlp.down_proj.weight"].zero_()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    done = esprobe("doctor", "--model", "deaf", "--engine", "transformers", "--sigma", "0.005")
    assert done.returncode == 1
    assert "FAILED  alive in prefill" in done.stdout
    assert "model.layers.3.mlp.up_proj.weight" in done.stdout
    assert "verdict: do not perturb this model here" in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [({"quantization_config": {"quant_method": "gptq"}}, "is quantised"), ({"num_experts": 8}, "mixture of experts")],
)
@pytest.mark.parametrize("command", [["doctor"], ["save-model", "--sigma", "0.005", "--seed", "1", "OUT"]])
def test_a_refusal_is_one_line_and_exit_1(
    esprobe: Run, tmp_path: Path, command: list[str], change: dict[str, object], said: str
) -> None:
    folder = tmp_path / "refused"
    shutil.copytree(TINY, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    done = esprobe(*command, "--model", "refused")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: 'refused' is")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "OUT").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "--model", "tiny", "--engine", "transformers", "--sigma", "-1"],
        ["doctor", "--model", "tiny", "--engine", "nothing"],
        ["doctor", "--model", "tiny", "--engine", "transformers", "--tensor-parallel-size", "2"],
        ["doctor", "--model", "tiny", "--engine", "vllm", "--max-num-seqs", "0"],
        ["doctor", "--model", "tiny", "--engine", "vllm", "--gpu-memory-utilization", "2"],
        ["doctor", "--model", "tiny", "--engine", "transformers", "--dtype", "int8"],
        ["save-model", "--model", "tiny", "--sigma", "-1", "--seed", "1", "OUT"],
        ["save-model", "--model", "tiny", "--sigma", "1e-320", "--seed", "1", "OUT"],
        ["save-model", "--model", "tiny", "--sigma", "1", "--seed", "-1", "OUT"],
        ["save-model", "--model", "tiny", "--sigma", "1", "--seed", "1", "--noise", "pink", "OUT"],
        ["save-model", "--model", "tiny", "--sigma", "1", "--seed", "1", "--scope", "(", "OUT"],
        ["save-model", "--model", "tiny", "--sigma", "1", "--seed", "1", "--dtype", "int8", "OUT"],
        ["save-model", "--model", "tiny", "--seed", "1", "OUT"],
    ],
    ids=" ".join,
)
def test_values_that_no_run_could_mean_are_exit_2(esprobe: Run, tmp_path: Path, arguments: list[str]) -> None:
    done = esprobe(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "OUT").exists()
