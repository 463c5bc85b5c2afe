"""Every name of vLLM that it does not promise to keep, and the only file that uses one.

Owns the table of these names with what each is needed for, the check at start, and the functions through which the
other files reach what lies behind them. Importing this file imports nothing of vLLM.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from logging import getLogger
from typing import Any, NamedTuple

from esprobe.errors import EngineError

OLDEST, NEWEST = (0, 26), (0, 33)
"""The minor versions of vLLM whose sources were read; the suite runs on the CPU builds of 0.27.0 and 0.32.0."""

_log = getLogger(__name__)


@dataclass(frozen=True)
class Name:
    """One name.

    Attributes:
        place: module that has it; of an attribute of an object, how vLLM's source calls the object.
        path: attributes from there on.
        purpose: goes on from "which esprobe needs to".
        since: first minor version that has it, if it is missing in older supported ones.
    """

    place: str
    path: str
    purpose: str
    since: tuple[int, int] = OLDEST

    def there(self, start: Any) -> bool:
        """Whether ``start`` (the module, or the object) has it."""
        for part in self.path.split("."):
            if not hasattr(start, part):
                return False
            start = getattr(start, part)
        return True


_CORE, _LOADERS = "vllm.v1.engine", "vllm.model_executor.model_loader"

ALWAYS = (
    Name("vllm.envs", "VLLM_ENABLE_V1_MULTIPROCESSING", "run the engine in its own process"),
    Name("vllm.envs", "VLLM_BATCH_INVARIANT", "ask for batch-invariant kernels"),
    Name("vllm.inputs", "tokens_input", "send prompts as tokens"),
    Name("vllm.sampling_params", "RepetitionDetectionParams", "end loops"),
    Name("vllm.sampling_params", "RequestOutputKind.FINAL_ONLY", "get completions when they are complete"),
    Name("vllm.sampling_params", "SamplingParams.skip_clone", "send requests quickly"),
    Name(_LOADERS, "register_model_loader", "check that a checkpoint is complete"),
    Name(f"{_LOADERS}.default_loader", "DefaultModelLoader.load_weights", "check that a checkpoint is complete"),
    Name(
        "vllm.model_executor.layers.vocab_parallel_embedding",
        "VocabParallelEmbeddingShardIndices.num_org_elements",
        "tell weights from the padding of a vocabulary",
    ),
    Name(f"{_CORE}.exceptions", "EngineDeadError", "notice that a process of vLLM has died"),
    Name(f"{_CORE}.core_client", "BackgroundResources.engine_dead", "notice that a process of vLLM has died"),
    Name(f"{_CORE}.core_client", "BackgroundResources.engine_manager", "notice that a process of vLLM has died"),
    Name(f"{_CORE}.utils", "CoreEngineProcManager.sentinels", "notice that a process of vLLM has died"),
    Name(f"{_CORE}.llm_engine", "LLMEngine.collective_rpc", "perturb weights inside the workers"),
    Name(f"{_CORE}.llm_engine", "LLMEngine.reset_prefix_cache", "forget keys and values of other weights"),
)
"""Names of modules, looked up before vLLM starts."""

ON_A_CPU = (
    Name("vllm._custom_ops", "_supports_onednn", "keep the CPU build from computing with repacked copies of weights"),
    Name(
        "vllm.model_executor.layers.utils",
        "check_cpu_sgl_kernel",
        "keep the CPU build from computing with repacked copies of weights",
    ),
)
"""The same for vLLM's CPU build, which else repacks weights."""

WEIGHT_VERSIONS = (
    Name(f"{_CORE}.llm_engine", "LLMEngine.set_weight_version", "know which weights answered", since=(0, 32)),
    Name("vllm.outputs", "CompletionOutput.weight_versions", "know which weights answered", since=(0, 32)),
)
"""From 0.27 on a version can be set, but before 0.32 no completion says its own, so that both are of use together."""

_UNTIES = Name(
    "vllm.config",
    "ModelConfig.maybe_untie_word_embeddings",
    "serve an output head that differs from the embedding which its configuration ties it to",
    since=(0, 29),
)

_ENGINE = (
    Name("LLMEngine", "engine_core.shutdown", "stop vLLM's processes"),
    Name("LLMEngine", "vllm_config.load_config.load_format", "check that a checkpoint is complete"),
    Name("LLMEngine", "vllm_config.parallel_config.world_size", "know how many workers there are"),
)
_GRAPHS = tuple(
    Name("LLMEngine", f"vllm_config.compilation_config.{name}", "examine every captured graph")
    for name in ("cudagraph_mode", "cudagraph_capture_sizes")
)
_SAME_PROCESS = Name("InprocClient", "engine_core.model_executor", "notice that a worker of vLLM has died")
_SEVERAL_WORKERS = Name("MultiprocExecutor", "is_failed", "notice that a worker of vLLM has died")
_OTHER_PROCESS = tuple(
    Name("SyncMPClient", path, "notice that a process of vLLM has died")
    for path in ("resources.engine_dead", "resources.engine_manager.sentinels", "outputs_queue", "utility_results")
)
_WORKER = (
    Name("Worker", "model_runner.get_model", "find where each weight is"),
    Name("Worker", "model_runner.model_config.get_hidden_size", "examine the output head"),
    Name("Worker", "parallel_config.tensor_parallel_size", "know which part of the weights a worker has"),
)
_MODEL = (
    Name("Model", "load_weights", "find where each weight is"),
    Name("Model", "compute_logits", "examine the output head"),
)
_LAYER = Name("LinearBase", "quant_method", "check that a checkpoint is complete")


def check_version(version: str) -> str | None:
    """What to warn about, for a version that the suite has not been run with because it is newer.

    Raises:
        EngineError: it is older than any that can work.
    """
    minor = _minor(version)
    if minor is not None and minor < OLDEST:
        raise EngineError(f"vLLM {version} is too old for esprobe; {_ADVICE}")
    if minor is None or minor > NEWEST:
        return f"vLLM {version} has not been tested with esprobe ({_said(OLDEST)} to {_said(NEWEST)} are supported)"
    return None


def check_start(on_cpu: bool) -> None:
    """Check that the installed vLLM has every name that it needs before it starts; warn if it is an untested one.

    Raises:
        EngineError: it is too old, or lacks one; says which.
    """
    version = installed()
    if warning := check_version(version):
        _log.warning(warning)
    for name in (*ALWAYS, *(ON_A_CPU if on_cpu else ()), *WEIGHT_VERSIONS, _UNTIES):
        check_module_name(name, version)


def check_module_name(name: Name, version: str) -> None:
    """Check one name of a module; one that only newer versions have may be missing.

    Raises:
        EngineError: it is missing.
    """
    minor = _minor(version)
    if not _in_module(name) and (minor is None or minor >= name.since):
        raise _lacking(name, version)


def check_engine(engine: Any) -> None:
    """Check the names of a started ``LLMEngine``, and that it was loaded by esprobe's loader.

    Raises:
        EngineError: one is missing.
    """
    _check((*_ENGINE, *_GRAPHS), engine)
    several = engine.vllm_config.parallel_config.world_size > 1
    if _in_this_process(engine):
        _check((_SAME_PROCESS,), engine.engine_core)
        if several:
            _check((_SEVERAL_WORKERS,), engine.engine_core.engine_core.model_executor)
    else:
        _check(_OTHER_PROCESS, engine.engine_core)
    if (found := str(engine.vllm_config.load_config.load_format)) != LOAD_FORMAT:
        raise EngineError(
            f"vLLM {installed()} loads with the format {found!r} and not {LOAD_FORMAT!r}, so nobody checked that the "
            f"checkpoint is complete; {_ADVICE}"
        )


def installed() -> str:
    """The installed version of vLLM."""
    import vllm

    return str(vllm.__version__)


# What the names are used for.

LOAD_FORMAT = "auto"
"""vLLM's default; esprobe replaces its loader."""


class LoaderHooks(NamedTuple):
    """vLLM's default loader, and the function that registers another one for a load format."""

    default: Any
    register: Any


def loader_hooks() -> LoaderHooks:
    """What esprobe's own loader is made from; vLLM's warning that it replaces another one is switched off."""
    from vllm.model_executor.model_loader import register_model_loader
    from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

    # vLLM would warn at every start that a loader of this name exists already, which is intended here.
    log = getLogger(register_model_loader.__module__)
    log.addFilter(lambda record: "is already registered" not in str(record.msg))
    return LoaderHooks(DefaultModelLoader, register_model_loader)


def layers_that_vllm_does_not_check(model: Any) -> Iterator[tuple[str, Any]]:
    """(name, module) of every linear layer and embedding.

    Raises:
        EngineError: there is none, so that they are not recognised.
    """
    found = [(name, module) for name, module in model.named_modules() if _LAYER.there(module)]
    if not found:
        raise _lacking(_LAYER, installed())
    yield from found


def vocabulary_rows(embedding: Any) -> int | None:
    """Rows of an embedding or output head that are not padding; None of another module."""
    shard = getattr(embedding, "shard_indices", None)
    return None if shard is None else int(shard.num_org_elements)


def keep_weights_where_they_are() -> None:
    """Make vLLM's CPU build compute with its parameters, not with repacked copies that no edit reaches.

    vLLM has no option for it. Whether it worked is checked on the loaded model: an empty parameter is refused.
    """
    from vllm import _custom_ops
    from vllm.model_executor.layers import utils
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        _custom_ops._supports_onednn = False
        utils.check_cpu_sgl_kernel = lambda *arguments, **options: False


def model_of(worker: Any) -> Any:
    """The model that a worker computes with, without the wrapper that replays captured graphs.

    Raises:
        EngineError: the worker or its model lacks a name.
    """
    _check(_WORKER, worker)
    model = worker.model_runner.get_model()
    _check(_MODEL, model)
    return model


def is_sharded(worker: Any) -> bool:
    """Whether a worker holds only a part of the weights."""
    return bool(worker.parallel_config.tensor_parallel_size > 1)


def hidden_size(worker: Any) -> int:
    """Size of the model's hidden states."""
    return int(worker.model_runner.model_config.get_hidden_size())


def has_weight_versions() -> bool:
    """Whether a label can be set for the weights, and completions say under which they were drawn."""
    return all(map(_in_module, WEIGHT_VERSIONS))


def versions_of(completion: Any) -> set[str]:
    """The weight versions that a completion was drawn under; empty if it says none."""
    return {str(span.version) for span in completion.weight_versions or ()}


def graph_sizes(engine: Any) -> list[int]:
    """Numbers of tokens that have a captured graph of their own; none without graphs."""
    config = engine.vllm_config.compilation_config
    without = config.cudagraph_mode is None or config.cudagraph_mode.name == "NONE"
    return [] if without else sorted(config.cudagraph_capture_sizes or ())


class RequestTypes(NamedTuple):
    """What requests are made of."""

    parameters: Any
    output_kind: Any
    repetition: Any
    tokens: Any


def request_types() -> RequestTypes:
    """Classes, and the function that makes a prompt of tokens."""
    from vllm.inputs import tokens_input
    from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind, SamplingParams

    return RequestTypes(SamplingParams, RequestOutputKind, RepetitionDetectionParams, tokens_input)


def is_batch_invariant() -> bool:
    """Whether vLLM was asked for kernels whose results do not depend on the batch."""
    from vllm import envs

    return bool(envs.VLLM_BATCH_INVARIANT)


def unties_heads() -> bool:
    """Whether an output head that differs from the embedding is loaded although the configuration ties them.

    Without it vLLM computes with the embedding and drops the head without a word.
    """
    return _in_module(_UNTIES)


class Processes(NamedTuple):
    """What belongs to an engine that has a process of its own.

    Attributes:
        resources: has ``engine_dead``, which makes calls fail, and the manager of the processes.
        outputs: the queue that a step waits for.
        answers: the future of every call that waits for the workers.
    """

    resources: Any
    outputs: Any
    answers: Mapping[int, Any]

    def sentinels(self) -> list[Any]:
        """What becomes ready when a process ends."""
        return list(self.resources.engine_manager.sentinels())


def processes_of(engine: Any) -> Processes | None:
    """The processes behind a checked ``LLMEngine``; None if it runs in this one."""
    core = engine.engine_core
    return None if _in_this_process(engine) else Processes(core.resources, core.outputs_queue, core.utility_results)


def engine_dead_error() -> type[Exception]:
    """What vLLM raises once its engine is dead."""
    from vllm.v1.engine.exceptions import EngineDeadError

    found: type[Exception] = EngineDeadError
    return found


def marked_dead(engine: Any) -> bool | None:
    """Whether vLLM has found a process of the engine dead; None if the engine runs in this process alone."""
    if (processes := processes_of(engine)) is not None:
        return bool(processes.resources.engine_dead)
    # Only an executor with workers of its own has it.
    failed: bool | None = getattr(engine.engine_core.engine_core.model_executor, _SEVERAL_WORKERS.path, None)
    return failed


_ADVICE = f"install a version from {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"


def _in_this_process(engine: Any) -> bool:
    return hasattr(engine.engine_core, "engine_core")


def _in_module(name: Name) -> bool:
    try:
        return name.there(import_module(name.place))
    except ModuleNotFoundError as err:
        if err.name is None or not f"{name.place}.".startswith(f"{err.name}."):
            raise  # the module is there, and what it imports is not
        return False


def _check(names: tuple[Name, ...], start: Any) -> None:
    for name in names:
        if not name.there(start):
            raise _lacking(name, installed())


def _lacking(name: Name, version: str) -> EngineError:
    return EngineError(
        f"vLLM {version} lacks {name.place}.{name.path}, which esprobe needs to {name.purpose}; {_ADVICE}"
    )


def _minor(version: str) -> tuple[int, int] | None:
    """Major and minor version; None of a build from source that has no version of its own."""
    found = re.match(r"(\d+)\.(\d+)(?!\.dev)\b", version)
    return None if found is None else (int(found[1]), int(found[2]))


def _said(minor: tuple[int, int]) -> str:
    return f"{minor[0]}.{minor[1]}"
