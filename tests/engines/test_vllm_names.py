"""The names of vLLM that esprobe leans on: a version without one ends the start with one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from esprobe.engines.vllm_names import Name, check_module_name, check_version
from esprobe.errors import EngineError

LATER = Name("json", "JSONDecoder.decode_all", "read", since=(0, 30))


def test_a_version_that_is_too_old_is_refused_and_an_untested_one_a_warning() -> None:
    with pytest.raises(EngineError, match=r"vLLM 0\.25\.1 is too old .* install a version from 0\.26 to 0\.33"):
        check_version("0.25.1")
    assert [check_version(version) for version in ("0.26.0", "0.27.0+cpu", "0.32.0", "0.33.1rc2")] == [None] * 4
    for version in ("0.34.0", "1.0.0", "dev", "0.1.dev8+g12ab"):
        assert str(check_version(version)).startswith(f"vLLM {version} has not been tested")


def test_a_missing_name_is_told_with_the_version_and_what_it_is_for() -> None:
    expected = (
        r"^vLLM 0\.34\.1 lacks json\.nothing, which esprobe needs to read; install a version from 0\.26 to 0\.33$"
    )
    with pytest.raises(EngineError, match=expected):
        check_module_name(Name("json", "nothing", "read"), "0.34.1")
    with pytest.raises(EngineError, match=r"lacks json\.no_such_module\.decode"):
        check_module_name(Name("json.no_such_module", "decode", "read"), "0.34.1")


def test_a_name_that_only_newer_versions_have_may_be_missing_in_older_ones() -> None:
    check_module_name(LATER, "0.29.2")
    for version in ("0.30.0", "0.34.1", "dev"):
        with pytest.raises(EngineError, match="decode_all"):
            check_module_name(LATER, version)


def test_a_module_that_cannot_be_imported_for_another_reason_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        check_module_name(Name("half_installed", "anything", "read"), "0.32.0")


# vLLM without a name, as a later version might be, and the real command line.
WITHOUT = """
import importlib, sys
place, _, attribute = sys.argv[1].partition(":")
owner = importlib.import_module(place)
*parents, last = attribute.split(".")
for part in parents:
    owner = getattr(owner, part)
delattr(owner, last)
from esprobe.__main__ import main
sys.argv = ["esprobe", "sample-perturb", "--model", "tiny", "--engine", "vllm", "--samples", "1"]
sys.argv += ["--sigma", "0.005", "--problems", "200:202", "--max-num-seqs", "8"]
sys.exit(main())
"""
TAKEN = [
    ("vllm._custom_ops:_supports_onednn", "keep the CPU build from computing with repacked copies of weights"),
    ("vllm.v1.engine.core_client:BackgroundResources.engine_dead", "notice that a process of vLLM has died"),
    ("vllm.model_executor.model_loader:register_model_loader", "check that a checkpoint is complete"),
]


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize(("name", "purpose"), TAKEN)
def test_a_vllm_that_lacks_a_name_is_one_clear_line(name: str, purpose: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr[-2000:]
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: vLLM 0.")
    assert f" lacks {name.replace(':', '.')}, which esprobe needs to {purpose}; install a version from" in line
    assert "Traceback" not in done.stderr
