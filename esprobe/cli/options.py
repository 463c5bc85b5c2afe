"""Options that commands share, and how their text is parsed."""

from pathlib import Path
from typing import Annotated

import typer

from esprobe import defaults
from esprobe.errors import UsageError

DEFAULT_DB = Path(defaults.DATABASE)

DbPath = Annotated[Path, typer.Option("--db", envvar="ESPROBE_DB", help="The database file.")]
ModelName = Annotated[
    str,
    typer.Option("--model", envvar="ESPROBE_MODEL", help="Hub id, checkpoint folder, or 'tiny' (bundled)."),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help="auto, vllm, transformers or scripted; auto: vllm if it is installed and CUDA works, else transformers.",
    ),
]
TaskName = Annotated[str, typer.Option("--task", help="The task: its problems, prompts and scoring.")]
DataName = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="'generated', 'es-paper' (downloaded once), or a file of the same format.",
        metavar="NAME|PATH",
    ),
]
ProblemSlice = Annotated[str, typer.Option("--problems", help="Problem indices to sample.", metavar="FIRST:STOP")]
Samples = Annotated[int, typer.Option("--samples", help="Rollouts per problem and condition; raise it later to add.")]
Seed = Annotated[int, typer.Option("--seed", help="First seed; draw i has seed SEED + i.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", help="Tokens after which a completion is cut off.")]
Dtype = Annotated[
    str, typer.Option("--dtype", help="auto, float16, bfloat16 or float32; auto: float16 on CUDA, float32 on CPU.")
]
PromptStyle = Annotated[str, typer.Option("--prompt", help="chat (template, instructions) or raw (text only).")]
Baseline = Annotated[bool, typer.Option("--baseline/--no-baseline", help="Draw one greedy rollout per problem too.")]
BatchSize = Annotated[int, typer.Option("--batch-size", help="transformers: prompts per batch.")]
MaxNumSeqs = Annotated[int, typer.Option("--max-num-seqs", help="vLLM: sequences in the running batch.")]
GpuMemory = Annotated[
    float, typer.Option("--gpu-memory-utilization", help="vLLM: share of the device's memory to take.")
]
EnforceEager = Annotated[
    bool, typer.Option("--enforce-eager", help="vLLM: no compilation, no CUDA graphs; slower, starts faster.")
]
TensorParallel = Annotated[int, typer.Option("--tensor-parallel-size", help="vLLM: GPUs that share one model.")]
BatchInvariant = Annotated[
    bool, typer.Option("--batch-invariant", help="vLLM: kernels whose results do not depend on the batch; slower.")
]
StopLoops = Annotated[
    bool, typer.Option("--stop-loops", help="vLLM: end completions that repeat themselves; another condition.")
]
TopP = Annotated[
    float, typer.Option("--top-p", help="Sample from the likeliest tokens with this total probability; 1: all.")
]
TopK = Annotated[int, typer.Option("--top-k", help="Sample from this many of the likeliest tokens; -1: all.")]
NoiseScheme = Annotated[
    str, typer.Option("--noise", help="iid, or tied: tensors of one size share noise, as in published ES code.")
]
Scope = Annotated[
    str | None, typer.Option("--scope", help="Perturb only tensors whose name matches this regular expression.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Processes with an engine each. Default: one per visible GPU, at least one."),
]
WorkersPerGpu = Annotated[int, typer.Option("--workers-per-gpu", help="Workers per GPU, for small models.")]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Run the workers on a Ray cluster: its address, 'auto', or 'local' for this machine.",
        metavar="ADDRESS|local",
    ),
]
StuckTimeout = Annotated[
    float,
    typer.Option(
        "--stuck-timeout",
        help="Seconds without a new token after which a worker counts as stuck and is restarted.",
        metavar="SECONDS",
    ),
]
LoadTimeout = Annotated[
    float,
    typer.Option("--load-timeout", help="Seconds that a worker may take to load its model.", metavar="SECONDS"),
]
ShardName = Annotated[
    str | None,
    typer.Option(
        "--shard",
        help="Draw only this part of the plan, such as 3/16, into its own database; join them with esprobe merge.",
        metavar="NUMBER/COUNT",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="First 20 problems, 32 samples, first temperature or sigma only.")]
Ks = Annotated[list[int] | None, typer.Option("--k", help="A k of pass@k; repeatable. Default: powers of two up to n.")]
ConditionFilter = Annotated[
    list[str] | None,
    typer.Option("--condition", help="Only conditions with this id, label (T=0.8) or kind; repeatable."),
]

BaseModelName = Annotated[
    str | None,
    typer.Option(
        "--base",
        help="The model that the trained one was made from: its name, or the end of it. Default: as recorded.",
        metavar="MODEL",
    ),
]
TrainedModelName = Annotated[
    str | None,
    typer.Option("--trained", help="The trained model, likewise.", metavar="MODEL"),
]


def parse_slice(text: str, option: str = "--problems") -> tuple[int, int]:
    """(first, stop) of ``FIRST:STOP``.

    Raises:
        UsageError: the text is not such a slice.
    """
    first, colon, stop = text.partition(":")
    # At most 18 digits, because SQLite stores 64-bit integers.
    if not (
        colon
        and max(len(first), len(stop)) <= 18
        and first.isascii()
        and first.isdecimal()
        and stop.isascii()
        and stop.isdecimal()
    ):
        raise UsageError(f"{option} must be FIRST:STOP, such as 200:2200, got {text!r}")
    return int(first), int(stop)
