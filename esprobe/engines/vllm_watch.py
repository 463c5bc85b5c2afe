"""Wakes whoever waits for vLLM when a process of its engine has died.

vLLM's own monitor marks such an engine as dead, so that the next call fails. A call that already waits, for completions
or for an answer of the workers, is never told: without this it would wait for ever.
"""

from concurrent.futures import InvalidStateError
from contextlib import suppress
from multiprocessing.connection import wait
from threading import Thread
from typing import Any


def watch(engine_core: Any) -> None:
    """Start watching the processes behind vLLM's client; nothing where the engine runs in this process."""
    resources = getattr(engine_core, "resources", None)
    if resources is None or resources.engine_manager is None:
        return
    waited_for = (resources, engine_core.outputs_queue, engine_core.utility_results)
    Thread(target=_wake, args=waited_for, name="esprobe-vllm-watch", daemon=True).start()


def _wake(resources: Any, outputs: Any, answers: dict[int, Any]) -> None:
    from vllm.v1.engine.exceptions import EngineDeadError

    wait(resources.engine_manager.sentinels())
    # First of all: a call files its future before it looks at this, so it either raises or is found below.
    resources.engine_dead = True
    outputs.put(EngineDeadError())
    for future in list(answers.values()):
        with suppress(InvalidStateError):  # answered just now
            future.set_exception(EngineDeadError())
