"""Who may import whom, and what may not be loaded where (DESIGN section 2)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "esprobe"

# From the top down; a room may import the rooms that its line names, and itself.
ROOMS: dict[str, set[str]] = {
    "__main__": {"cli", "sampling"},
    "cli": {
        *("analysis", "maintenance", "report", "results", "training", "sampling", "workers", "models", "scan"),
        *("doctor", "store", "engines", "tasks", "noise", "records", "spec", "errors", "tables", "safe_text"),
        *("atomic_file", "paths", "defaults", ""),
    },
    "report": {"results", "stats", "records", "spec", "tables", "safe_text"},
    "analysis": {"results", "stats", "store", "tasks", "records", "spec", "errors"},
    "results": {"stats", "records", "spec"},
    "training": {
        *("sampling", "maintenance", "workers", "models", "store", "engines", "tasks", "es", "trajectory"),
        *("records", "spec", "errors", "paths"),
    },
    "sampling": {
        *("workers", "models", "engines", "tasks", "store", "noise", "records", "spec", "errors", "paths", "defaults"),
        "",
    },
    "scan": {"store", "records", "spec", "errors", "paths", "tables", "safe_text"},
    "maintenance": {"store", "tasks", "noise", "es", "records", "spec", "errors", "paths", "atomic_file", ""},
    "models": {"engines", "store", "errors", "paths"},
    "workers": {"doctor", "engines", "tasks", "trajectory", "records", "spec", "seeds", "errors", "defaults", ""},
    "doctor": {"engines", "noise", "spec", "errors", "tables", "safe_text"},
    "stats": {"records", "spec"},
    "store": {"trajectory", "records", "spec", "errors", "paths", "atomic_file"},
    "engines": {"noise", "trajectory", "spec", "seeds", "errors", "paths", "atomic_file", "cache", "defaults"},
    "bundled": {"tasks", "spec", "seeds", "errors"},
    "tasks": {"records", "spec", "seeds", "errors", "cache"},
    "records": {"spec"},
    "noise": set(),
    "trajectory": set(),
    "es": {"seeds"},
    "seeds": set(),
    "tables": set(),
    "safe_text": set(),
    "atomic_file": set(),
    "cache": set(),
    "paths": {"errors"},
    "spec": set(),
    "errors": set(),
    "defaults": set(),
    "": {"stats"},
}
NUMPY_ONLY = {"numpy", "esprobe"}
FORBIDDEN_FOR_ANALYSIS = ("torch", "transformers", "vllm", "tokenizers", "safetensors", "yaml")


def imports(path: Path) -> set[str]:
    """Modules a file imports anywhere in it, as dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "esprobe" else {node.module}
            )
    return found


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    room = relative.parts[0].removesuffix(".py") if relative.parts[0] != "__init__.py" else ""
    assert room in ROOMS, f"{relative} is in no room of DESIGN section 2"
    for module in imports(path):
        if module.split(".")[0] == "esprobe":
            target = room_of(module)
            assert target == room or target in ROOMS[room], f"{relative} imports {module}"


@pytest.mark.parametrize("room", ["stats", "noise"])
def test_numbers_need_numpy_only(room: str) -> None:
    files = [path for path in FILES if path.relative_to(PACKAGE).parts[0].removesuffix(".py") == room]
    assert files
    outside = {module.split(".")[0] for path in files for module in imports(path)} - set(sys.stdlib_module_names)
    assert outside <= NUMPY_ONLY


def test_only_the_store_speaks_sql() -> None:
    speakers = {
        path.relative_to(PACKAGE).parts[0]
        for path in FILES
        if {module.split(".")[0] for module in imports(path)} & {"sqlite3", "sqlmodel", "sqlalchemy"}
    }
    # provenance reads sqlite3's version number and nothing else
    assert speakers == {"store", "workers"}
    assert "execute" not in (PACKAGE / "workers" / "provenance.py").read_text()


@pytest.mark.parametrize("room", ["report", "results"])
def test_what_is_shown_is_not_computed_there(room: str) -> None:
    """From ``stats`` come classes and constants, which have capitals, and no functions."""
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("esprobe.stats"):
                assert not [alias.name for alias in node.names if alias.name[0].islower()], path.name


KIND_NAMES = {"greedy", "temperature", "perturbation", "imported"}


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "spec.py"], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_kind_is_compared_as_a_string(path: Path) -> None:
    """``spec.Kind`` and its traits say what a kind is; ``Kind`` is a string only in databases and documents."""
    for node in ast.walk(ast.parse(path.read_text())):
        compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        compared += [node.pattern] if isinstance(node, ast.match_case) else []
        literals = {part.value for side in compared for part in ast.walk(side) if isinstance(part, ast.Constant)}
        assert not literals & KIND_NAMES, f"{path.name}: {ast.unparse(node)}"


def test_no_file_outgrows_its_room() -> None:
    assert {path.name: n for path in FILES if (n := len(path.read_text().splitlines())) > 400} == {}


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after ``code``."""
    script = f"import sys\n{code}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "command",
    [
        *("", "sample-temp", "sample-perturb", "plan", "scan", "passk", "compare", "report", "show", "rescore"),
        *("doctor", "save-model", "convert", "data check"),
    ],
    ids=lambda words: words or "top",
)
def test_help_loads_neither_numpy_nor_a_model_library(command: str) -> None:
    code = (
        "from esprobe.cli.main import make_app\n"
        f"try: make_app()({[*command.split(), '--help']!r})\n"
        "except SystemExit as end: assert not end.code, end.code"
    )
    loaded = loaded_by(code)
    assert "typer" in loaded
    assert not loaded & {"numpy", "torch", "transformers", "vllm", "sqlmodel", "sqlalchemy"}


def test_reading_a_database_loads_no_model_library() -> None:
    modules = (
        "analysis",
        "maintenance.rescoring",
        "store.browse",
        "report.markdown",
        "report.rollout_text",
        "cli.main",
    )
    loaded = loaded_by(f"import {', '.join(f'esprobe.{module}' for module in modules)}")
    assert not loaded & {*FORBIDDEN_FOR_ANALYSIS, "sqlmodel", "sqlalchemy"}


def test_the_package_itself_is_light_and_has_its_public_names() -> None:
    assert "numpy" not in loaded_by("import esprobe")
    assert "numpy" in loaded_by("import esprobe; assert esprobe.pass_at_k(4, 2, 2) == 5 / 6")
