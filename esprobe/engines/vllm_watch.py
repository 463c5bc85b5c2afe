"""Unblocks calls that wait for vLLM when a process of its engine has died.

vLLM's own monitor marks such an engine as dead, so that the next call fails. A call that is already waiting, for
completions or for a result of the workers, would wait forever without this.
"""

from collections.abc import Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress
from multiprocessing.connection import wait
from threading import Thread
from typing import Any

from esprobe.engines.vllm_names import Processes, engine_dead_error, processes_of


def watch(engine: Any) -> None:
    """Start watching the processes of a started ``LLMEngine``; does nothing if it runs in this process.

    Raises:
        AttributeError, TypeError: there is nothing to watch where vLLM's processes should be.
    """
    if (processes := processes_of(engine)) is None:
        return
    arguments = (processes, processes.sentinels(), engine_dead_error())
    Thread(target=_wake, args=arguments, name="esprobe-vllm-watch", daemon=True).start()


def _wake(processes: Processes, sentinels: Sequence[Any], error: type[Exception]) -> None:
    wait(sentinels)
    # First: a call registers its future before it reads this flag, so it either raises or is found below.
    processes.resources.engine_dead = True
    processes.outputs.put(error())
    for future in list(processes.answers.values()):
        with suppress(InvalidStateError):  # it has just been answered
            future.set_exception(error())
