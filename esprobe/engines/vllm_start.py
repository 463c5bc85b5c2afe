"""Starting vLLM: its settings, and what goes wrong then, as errors for people."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from esprobe.engines.base import EngineOptions
from esprobe.engines.checkpoint import HEADS, Checkpoint
from esprobe.engines.memory import accumulator_bytes, check_two_copies, host_memory, weight_bytes
from esprobe.engines.vllm_names import check_engine, check_start, installed, unties_heads
from esprobe.errors import ModelError, UsageError


def start(checkpoint: Checkpoint, dtype: str, options: EngineOptions) -> Any:
    """A vLLM engine in this process.

    Raises:
        ModelError: vLLM cannot serve the model on this machine, or its weights do not fit twice.
        UsageError: an option needs a GPU.
        EngineError: the installed vLLM lacks a name that esprobe leans on.
    """
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout is for results
    import torch

    on_cpu = not torch.cuda.is_available()
    if options.batch_invariant:
        if on_cpu:
            raise UsageError("--batch-invariant needs a GPU: vLLM has no such kernels for a CPU; leave it out here")
        os.environ["VLLM_BATCH_INVARIANT"] = "1"
    if on_cpu:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")  # unset, it requires nearly all of the machine's memory
    if options.perturbs:
        _check_memory(checkpoint, dtype, options, on_cpu)
    check_start(on_cpu)
    if not unties_heads():
        _check_head(checkpoint, dtype)
    from vllm import LLM

    # vLLM imports it by name below, where an error in it would be reported as one of the model.
    import esprobe.engines.vllm_worker  # noqa: F401

    settings: dict[str, Any] = {
        "model": str(checkpoint.folder),
        "dtype": dtype,
        "tensor_parallel_size": options.tensor_parallel_size,
        "max_num_seqs": options.max_num_seqs,
        # Keys and values depend on the weights: what one perturbation computed is wrong under the next.
        "enable_prefix_caching": not options.perturbs,
        "gpu_memory_utilization": options.gpu_memory_utilization,
        # The compiled CPU model may keep the weights that it was traced with.
        "enforce_eager": options.enforce_eager or on_cpu,
        # Chunked prefill rewinds a request's generator, which torch's CPU generators do not support.
        "enable_chunked_prefill": not on_cpu,
        "worker_extension_cls": "esprobe.engines.vllm_worker.WeightExtension",
        "seed": 0,
        "disable_log_stats": True,
    }
    if not settings["enforce_eager"]:
        # Batches above the largest captured size would run without graphs.
        settings["compilation_config"] = {"max_cudagraph_capture_size": options.max_num_seqs}
    try:
        with _one_process(options):
            llm = LLM(**settings)
    except (ValueError, RuntimeError, OSError, NotImplementedError, AssertionError) as err:
        package = _raised_in(err)
        if package == "esprobe" or (isinstance(err, AssertionError) and package != "vllm"):
            raise  # a bug, and not an option that vLLM checks with an assertion
        reason = first_line(err)
        if "root cause above" in reason:
            reason = "one of its processes failed; its own message is above"
        memory = "set VLLM_CPU_KVCACHE_SPACE to fewer GiB" if on_cpu else "lower --gpu-memory-utilization"
        raise ModelError(
            f"vLLM cannot serve {checkpoint.name!r} as {dtype} here ({reason}); if memory is short, {memory} or lower "
            f"--max-num-seqs; else choose another --dtype"
        ) from err
    check_engine(llm.llm_engine)
    return llm


def _check_head(checkpoint: Checkpoint, dtype: str) -> None:
    """Refuse an output head of its own that vLLM would drop, because the configuration ties it to the embedding.

    Raises:
        ModelError: there is one.
    """
    heads = [name for name in checkpoint.tensors if name.endswith(".weight") and name.split(".")[-2] in HEADS]
    if heads and checkpoint.ties and (lost := [name for name in heads if name not in checkpoint.tied_copies(dtype)]):
        raise ModelError(
            f"{checkpoint.name!r} holds {lost[0]}, which differs from the embedding, and its config.json ties them; "
            f"vLLM {installed()} would drop it and serve another model. Set tie_word_embeddings to false there, or "
            f"install vLLM 0.29 or newer"
        )


def _check_memory(checkpoint: Checkpoint, dtype: str, options: EngineOptions, on_cpu: bool) -> None:
    """Refuse weights that do not fit on each device twice, the second time beside what vLLM takes.

    On a GPU the accumulator of training does not count: it lies in the machine's memory where there is no room.

    Raises:
        ModelError: they do not.
    """
    shard = weight_bytes(checkpoint.tensors, dtype) // options.tensor_parallel_size
    if on_cpu:
        if (available := host_memory()) is not None:
            weights = shard * options.tensor_parallel_size
            accumulator = accumulator_bytes(checkpoint.tensors) if options.trains else 0
            check_two_copies(checkpoint.name, weights, available, "this machine", accumulator=accumulator)
        return
    from vllm.platforms import current_platform

    available = current_platform.get_device_total_memory()  # from the driver, with no CUDA context in this process
    where = current_platform.get_device_name()
    check_two_copies(checkpoint.name, shard, available, where, reserved=options.gpu_memory_utilization)


@contextmanager
def _one_process(options: EngineOptions) -> Iterator[None]:
    """Have vLLM run its engine in this process, unless it has several workers or the user's environment decides."""
    name = "VLLM_ENABLE_V1_MULTIPROCESSING"
    if options.tensor_parallel_size > 1 or name in os.environ:
        yield
        return
    # In one process calls reach the worker directly, and scheduling is a function of the requests alone.
    os.environ[name] = "0"
    try:
        yield
    finally:
        del os.environ[name]  # it must not affect the next engine, or a child process


def _raised_in(error: BaseException) -> str:
    """The package whose frame raised the error; empty if unknown."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name: str = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return name.split(".")[0]


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    from pydantic import ValidationError

    # The first line of pydantic's own message only counts the errors.
    message = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    lines = message.strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
