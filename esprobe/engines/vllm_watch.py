"""Unblocks calls that wait for vLLM when a process of its engine has died.

vLLM's own monitor marks such an engine as dead, so that the next call fails. A call that is already waiting, for
completions or for a result of the workers, would wait forever without this.
"""

from concurrent.futures import InvalidStateError
from contextlib import suppress
from multiprocessing.connection import wait
from threading import Thread
from typing import Any


def watch(engine_core: Any) -> None:
    """Start watching the processes behind vLLM's client; does nothing if the engine runs in this process."""
    resources = getattr(engine_core, "resources", None)
    if resources is None or resources.engine_manager is None:
        return
    waited_for = (resources, engine_core.outputs_queue, engine_core.utility_results)
    Thread(target=_wake, args=waited_for, name="esprobe-vllm-watch", daemon=True).start()


def _wake(resources: Any, outputs: Any, answers: dict[int, Any]) -> None:
    from vllm.v1.engine.exceptions import EngineDeadError

    wait(resources.engine_manager.sentinels())
    # First: a call registers its future before it reads this flag, so it either raises or is found below.
    resources.engine_dead = True
    outputs.put(EngineDeadError())
    for future in list(answers.values()):
        with suppress(InvalidStateError):  # it has just been answered
            future.set_exception(EngineDeadError())
