"""The wheel holds the bundled model and not the scripts that trained it."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING = "esprobe/bundled/training"
MODEL = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}


def test_pyproject_excludes_the_training_scripts() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["esprobe"]
    assert wheel["exclude"] == [TRAINING]
    assert (ROOT / TRAINING / "train.py").is_file()
    assert {path.name for path in (ROOT / "esprobe/bundled/tiny").iterdir()} >= MODEL


@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling, the build backend, is not here")
def test_the_backend_packs_the_model_and_no_training_script() -> None:
    from hatchling.builders.wheel import WheelBuilder

    packed = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert not [path for path in packed if path.startswith(TRAINING)]
    assert {f"esprobe/bundled/tiny/{name}" for name in MODEL} <= packed
    assert {"esprobe/bundled/__init__.py", "esprobe/tasks/countdown/task.py"} <= packed


def test_nothing_outside_imports_the_training_scripts() -> None:
    """An installed wheel would fail there."""
    importing = [
        path
        for path in (ROOT / "esprobe").rglob("*.py")
        if "esprobe.bundled.training" in path.read_text() and not path.is_relative_to(ROOT / TRAINING)
    ]
    assert importing == []
