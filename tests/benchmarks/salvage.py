"""Salvages a copy of a database in which pages were overwritten with random bytes; time, memory and losses are printed.

python -m tests.benchmarks.salvage --db FILE --pages 50
"""

import argparse
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path


def rollouts(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM rollout").fetchone()
    return int(count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--pages", type=int, default=50)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.db.parent) as folder:
        broken, into = Path(folder) / "broken.db", Path(folder) / "salvaged.db"
        shutil.copy(chosen.db, broken)
        with closing(sqlite3.connect(broken)) as connection:
            (size,) = connection.execute("PRAGMA page_size").fetchone()
            (count,) = connection.execute("PRAGMA page_count").fetchone()
        with broken.open("r+b") as file:
            for page in random.Random(3).sample(range(count), chosen.pages):
                file.seek(page * size)
                file.write(os.urandom(size))
        began = time.perf_counter()
        command = [sys.executable, "-m", "esprobe", "salvage", str(broken), "--into", str(into)]
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        print(f"{rollouts(into):,} of {rollouts(chosen.db):,} rollouts, {seconds:.0f} s, {memory} MB")


if __name__ == "__main__":
    main()
