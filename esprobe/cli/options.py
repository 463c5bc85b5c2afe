"""Options that commands share, and how their strings are read."""

from pathlib import Path
from typing import Annotated

import typer

from esprobe.errors import UsageError

DEFAULT_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"

DbPath = Annotated[Path, typer.Option("--db", envvar="ESPROBE_DB", help="The database file.")]
ModelName = Annotated[
    str,
    typer.Option("--model", envvar="ESPROBE_MODEL", help="Hub id, checkpoint folder, or 'tiny' (bundled)."),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine", help="auto, vllm, transformers or scripted; auto: vllm where it and CUDA are, else transformers."
    ),
]
TaskName = Annotated[str, typer.Option("--task", help="What is asked and how answers are scored.")]
DataName = Annotated[
    str | None,
    typer.Option(
        "--data", help="'generated', 'es-paper' (downloaded once), or a file of that form.", metavar="NAME|PATH"
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
BatchSize = Annotated[int, typer.Option("--batch-size", help="Prompts the transformers engine computes at once.")]
MaxNumSeqs = Annotated[int, typer.Option("--max-num-seqs", help="vLLM: sequences in the running batch.")]
GpuMemory = Annotated[
    float, typer.Option("--gpu-memory-utilization", help="vLLM: share of the device's memory to take.")
]
EnforceEager = Annotated[
    bool, typer.Option("--enforce-eager", help="vLLM: no compilation, no CUDA graphs; slower, starts faster.")
]
TensorParallel = Annotated[int, typer.Option("--tensor-parallel-size", help="vLLM: devices that share one model.")]
BatchInvariant = Annotated[
    bool, typer.Option("--batch-invariant", help="vLLM: kernels whose results do not depend on the batch; slower.")
]
StopLoops = Annotated[
    bool, typer.Option("--stop-loops", help="vLLM: end completions that repeat themselves; another condition.")
]
TopP = Annotated[float, typer.Option("--top-p", help="Nucleus mass kept; 1 keeps all.")]
TopK = Annotated[int, typer.Option("--top-k", help="Tokens kept; -1 keeps all.")]
NoiseScheme = Annotated[
    str, typer.Option("--noise", help="iid, or tied: tensors of one size share noise, as in published ES code.")
]
Scope = Annotated[
    str | None, typer.Option("--scope", help="Perturb only tensors whose name matches this regular expression.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Processes with an engine each. Default: one for each visible GPU, at least one."),
]
WorkersPerGpu = Annotated[int, typer.Option("--workers-per-gpu", help="Workers that share a GPU, for small models.")]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Run the workers on a Ray cluster: its address, 'auto', or 'local' for this machine.",
        metavar="ADDRESS|local",
    ),
]
ShardName = Annotated[
    str | None,
    typer.Option(
        "--shard",
        help="Draw this share of the plan only, such as 3/16, into a database of its own; esprobe merge joins them.",
        metavar="NUMBER/COUNT",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="First 20 problems, 32 samples, first temperature or sigma only.")]
Ks = Annotated[list[int] | None, typer.Option("--k", help="A k of pass@k; repeatable. Default: powers of two up to n.")]
ConditionFilter = Annotated[
    list[str] | None,
    typer.Option("--condition", help="Only conditions with this id, label (T=0.8) or kind; repeatable."),
]


def parse_slice(text: str, option: str = "--problems") -> tuple[int, int]:
    """(first, stop) of ``FIRST:STOP``.

    Raises:
        UsageError: the text is no such slice.
    """
    first, colon, stop = text.partition(":")
    # Eighteen digits: what SQLite can store, and far below what Python refuses to read as a number.
    if not (
        colon
        and max(len(first), len(stop)) <= 18
        and first.isascii()
        and first.isdecimal()
        and stop.isascii()
        and stop.isdecimal()
    ):
        raise UsageError(f"{option} {text!r} is no slice of indices; use FIRST:STOP, such as 200:2200")
    return int(first), int(stop)
