"""How the store carries the whole study: fills a database through the real write path, and asks it at every size.

The real command line with the scripted engine and the real scorer: 2,000 problems, 4 temperatures and 4 sigmas, texts
of about 600 characters. It grows by ``--samples``, as a study would, and what is there already is kept, so that a fill
can be interrupted. Printed for each size: rollouts/s and peak memory of the sampling command, bytes a rollout, and the
seconds and peak memory of the commands that read. Nothing is asserted.

    nox -s fill -- --samples 64 --samples 1024 --db /somewhere/with/14/GB.db
"""

import argparse
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

from esprobe.tasks.countdown.generate import GENERATED_SEED, candidates, distinct

FIRST, STOP = 200, 2200
TEXTS = 24
WORDS = (
    "we try to reach the target with these numbers first add then subtract multiply divide that gives which is not "
    "equal to so let me try another way 12 + 7 = 19 , 44 - 35 = 9 and so on"
)
ARMS = {
    "sample-temp": [word for t in ("0.4", "0.6", "0.8", "1.0") for word in ("-t", t)],
    "sample-perturb": [word for s in ("0.001", "0.003", "0.005", "0.01") for word in ("--sigma", s)],
}
READING = (
    ["passk"],
    ["status"],
    ["show", "--problem", "1000", "--limit", "5"],
    ["compare", "T=0.8", "sigma=0.005"],
    ["report"],
)


def write_script(path: Path) -> None:
    """Texts whose lengths and rates of success differ as a model's do: most problems are hard, a few are easy.

    Written problem by problem: what this process holds would be counted as memory of the commands it starts.
    """
    rng = random.Random(0)
    with path.open("w") as file:
        file.write('{"*": ["no idea"]')
        for index, row in enumerate(islice(distinct(candidates(GENERATED_SEED)), FIRST, STOP), FIRST):
            chance = rng.betavariate(0.3, 2.0)
            texts = [text(rng, str(row.solution) if rng.random() < chance else None) for _ in range(TEXTS)]
            file.write(f', "{index}": {json.dumps(texts)}')
        file.write("}")


def text(rng: random.Random, solution: str | None) -> str:
    thought = " ".join(rng.choices(WORDS.split(), k=max(20, round(rng.gauss(133, 40)))))
    return f" {thought} </think>\n<answer> {solution or '1 + 2 * 3'} </answer>"


def measured(arguments: list[str]) -> tuple[float, float, int]:
    """Seconds by the clock and of one CPU, and peak memory in bytes of an esprobe command and its processes together.

    Memory is looked at ten times a second; pages that processes share are counted once.
    """
    started = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "esprobe", *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    peak = 0
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        peak = max(peak, resident(pid))
        time.sleep(0.1)
    seconds = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise SystemExit(f"esprobe {' '.join(arguments)} ended with {code}")
    return seconds, usage.ru_utime + usage.ru_stime, peak


def resident(pid: int) -> int:
    """Bytes in memory of a process and its descendants (their proportional set sizes)."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kib = sum(int(line.split()[1]) for line in told if line.startswith("Pss:"))
        children = [c for path in Path(f"/proc/{pid}/task").glob("*/children") for c in path.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0
    return kib * 1024 + sum(resident(int(child)) for child in children)


def stored(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        try:
            return connection.execute("SELECT sum(rollouts) FROM totals").fetchone()[0] or 0
        except sqlite3.OperationalError:  # not made yet
            return 0


def grow(database: Path, script: Path, samples: int) -> None:
    for arm, conditions in ARMS.items():
        before = stored(database)
        command = [arm, *conditions, "--engine", "scripted", "--model", str(script), "--db", str(database)]
        command += ["--problems", f"{FIRST}:{STOP}", "--samples", str(samples)]
        clock, cpu, memory = measured(command)
        drawn = stored(database) - before
        print(f"{arm} --samples {samples}: {drawn:,} rollouts in {clock:.1f} s ({cpu:.1f} s of one CPU), "
              f"{drawn / clock:,.0f} rollouts/s, {memory / 1e6:,.0f} MB", flush=True)  # fmt: skip
        clock, cpu, memory = measured(command)
        print(f"  the same again, nothing owed: {clock:.2f} s ({cpu:.2f}), {memory / 1e6:,.0f} MB", flush=True)


def ask(database: Path) -> None:
    size, rollouts = database.stat().st_size, stored(database)
    print(f"{rollouts:,} rollouts in {size / 1e9:.2f} GB, {size / max(rollouts, 1):,.0f} bytes each")
    for arguments in READING:
        clock, cpu, memory = measured([*arguments, "--db", str(database)])
        print(f"  {' '.join(arguments)}: {clock:.2f} s ({cpu:.2f}), {memory / 1e6:,.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, action="append", help="sizes to grow to, ascending; repeatable")
    parser.add_argument("--db", type=Path, help="the database to grow; a temporary one if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = options.db or Path(folder) / "filled.db"
        script = database.with_suffix(".script.json")
        if not script.exists():  # the model is a condition's identity: a fill goes on only with the same one
            write_script(script)
        for samples in options.samples or [64]:
            grow(database, script, samples)
            ask(database)


if __name__ == "__main__":
    main()
