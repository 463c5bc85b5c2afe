"""The details of many conditions, computed by several processes if there are enough rollouts."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from esprobe.analysis.available_tasks import learn_task_files
from esprobe.analysis.details import detail
from esprobe.analysis.loaded import Loaded
from esprobe.records import Totals
from esprobe.results.detail import Detail
from esprobe.stats.curve import Curve
from esprobe.store import RolloutStore

WORTH_IT = 1_000_000
"""Rollouts above which more processes pay: two million take seconds, and starting a process takes about one."""

Task = tuple[Loaded, Totals, Curve]
"""A condition, the sums over its rollouts, and its pass@k."""


def details(store: RolloutStore, tasks: Sequence[Task], workers: int = 1) -> list[Detail]:
    """All that a report shows of each condition besides its curve.

    Args:
        store: the database the conditions were read from.
        tasks: the conditions.
        workers: processes that may share the work. Each opens the database for itself, so a sampler that is running
            may have added to it meanwhile; what a report divides by is what was loaded here.
    """
    if workers == 1 or len(tasks) == 1 or sum(totals.rollouts for _, totals, _ in tasks) < WORTH_IT:
        return [detail(store, *task) for task in tasks]
    # Not forked: SQLite's connections do not survive that.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        return list(pool.map(_detail, [store.path] * len(tasks), tasks))


def _detail(path: Path, task: Task) -> Detail:
    with RolloutStore.open(path) as store, store.snapshot():
        learn_task_files(store)
        return detail(store, *task)
