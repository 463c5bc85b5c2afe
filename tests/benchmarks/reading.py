"""The time of reading commands, interpreter included, over that of importing the libraries that they need.

Commands and `python -c "import numpy, rich, typer"` run in turn; medians and ratios are printed. Nothing is asserted:
timings are for people. Without ``--db`` a database of the demo's size is made with the scripted engine.

    nox -s benchmarks_reading
    nox -s benchmarks_reading -- --db demo/esprobe.db
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import run_esprobe
from tests.sampling.material import write_script

IMPORTS = [sys.executable, "-c", "import numpy, rich, typer"]
COMMANDS = {
    "passk": ["passk"],
    "status": ["status"],
    "show": ["show", "--limit", "1"],
    "compare": ["compare", "T=0.8", "sigma=0.005"],
}


def seconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def with_bytecode(folder: str) -> dict[str, str]:
    """The environment of an installed package, whose modules are compiled once and not at every start."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"PYTHONPYCACHEPREFIX": folder}


def demo(folder: Path) -> Path:
    """Both arms and the baseline over 200 problems, 16 rollouts each, as `nox -s demo` draws them."""
    script = write_script(folder / "script.json", " </think>\n<answer> 1 + 2 </answer>", "no answer")
    common = ["--engine", "scripted", "--model", script, "--problems", "200:400", "--samples", 16, "--db", "demo.db"]
    for arm in (["sample-temp", "-t", "0.8"], ["sample-perturb", "--sigma", "0.005"]):
        done = run_esprobe(folder, *arm, *common)
        assert done.returncode == 0, done.stderr
    return folder / "demo.db"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as compiled:
        environment = with_bytecode(compiled)
        database = chosen.db or demo(Path(folder))
        commands = {
            name: [sys.executable, "-m", "esprobe", *words, "--db", str(database)] for name, words in COMMANDS.items()
        }
        for command in (IMPORTS, *commands.values()):
            seconds(command, environment)  # compiles what has not run before
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(chosen.rounds):
            for name, command in commands.items():
                taken[name].append((seconds(IMPORTS, environment), seconds(command, environment)))
    for name, pairs in taken.items():
        ratios = [command / imports for imports, command in pairs]
        print(
            f"{name:8} {statistics.median(command for _, command in pairs):.2f} s, "
            f"{statistics.median(ratios):.2f} of the imports ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
