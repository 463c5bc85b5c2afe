"""What a smaller write-ahead log costs: the writer alone, with esprobe's limit and with SQLite's 1,000 pages, in turn.

Two orders of writing: as sampling does (all problems of a seed), and 64 seeds of one problem at a time, which touches
many pages. Processor time is what to compare; the wall clock depends on what else the disk does. Nothing is asserted.

    python -m tests.benchmarks.log_size
"""

import tempfile
import time
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

from esprobe.store import RolloutWriter, database
from esprobe.store.layout import PAGE_BYTES
from tests.store.material import WARM, begin, problems, rollout

PROBLEMS, SEEDS = 1000, 64
TEXT = "some words that are long " * 26


def by_seed(ids: list[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    keys = product(range(SEEDS), ids)
    while batch := tuple(islice(keys, 512)):
        yield batch


def by_problem(ids: list[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    return (tuple((seed, id_) for seed in range(SEEDS)) for id_ in ids)


def measure(order: str, log_bytes: int) -> str:
    database.LOG_BYTES = log_bytes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        with RolloutWriter.open(path) as writer:
            condition = writer.register_condition(WARM)
            ids = list(writer.register_problems("countdown", "t", problems(*range(PROBLEMS))).values())
            session = begin(writer, condition)
            clock, cpu = time.perf_counter(), time.process_time()
            for keys in {"by seed": by_seed, "by problem": by_problem}[order](ids):
                writer.add(session, [rollout(condition, id_, seed, TEXT) for seed, id_ in keys], {})
            clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
            log = path.with_name("x.db-wal").stat().st_size
    return f"{order}, log of {log / 1e6:4.1f} MB: {cpu:.2f} s of one CPU, {clock:.2f} s"


def main() -> None:
    for _ in range(3):
        for order in ("by seed", "by problem"):
            for limit in (1000 * PAGE_BYTES, 8 << 20):
                print(measure(order, limit), flush=True)


if __name__ == "__main__":
    main()
