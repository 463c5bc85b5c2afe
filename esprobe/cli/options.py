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
    typer.Option(
        "--model",
        envvar="ESPROBE_MODEL",
        help="Hub id, checkpoint folder, 'tiny' (bundled), or FILE:RUN@ITERATION, a model of train-es.",
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help="auto, vllm, transformers or scripted; auto: vllm if it is installed and CUDA works, else transformers.",
    ),
]
TaskName = Annotated[
    str,
    typer.Option(
        "--task",
        help="The task: countdown, gsm8k, math500, olympiadbench, mcq, one of an installed package, a task file, or "
        "./FILE.py:NAME.",
        metavar="NAME|FILE.yaml",
    ),
]
DataName = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="The task's data: a file, or a name that the task has for data (countdown: generated, es-paper).",
        metavar="NAME|PATH",
    ),
]
ProblemSlice = Annotated[
    str | None,
    typer.Option(
        "--problems",
        help="Problem indices to sample. Default: the task's test problems (countdown: 200:2200).",
        metavar="FIRST:STOP",
    ),
]
Samples = Annotated[int, typer.Option("--samples", help="Rollouts per problem and condition; raise it later to add.")]
Seed = Annotated[int, typer.Option("--seed", help="First seed; draw i has seed SEED + i.")]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens", help="Tokens after which a completion is cut off. Default: the task's, else 1024.", metavar="N"
    ),
]
Dtype = Annotated[
    str, typer.Option("--dtype", help="auto, float16, bfloat16 or float32; auto: float16 on CUDA, float32 on CPU.")
]
PromptStyle = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        help="chat (template, instructions), raw (text only), or another style of the task. Default: the task's first.",
    ),
]
ScorerName = Annotated[
    str | None,
    typer.Option(
        "--scorer", help="Which of the task's scorers gives the verdicts. Default: its first, es-paper/1 of countdown."
    ),
]
Baseline = Annotated[bool, typer.Option("--baseline/--no-baseline", help="Draw one greedy rollout per problem too.")]
GiveUpBroken = Annotated[
    bool,
    typer.Option(
        "--give-up-broken",
        help="Stop a sigma if of its first 16 perturbations 95 % of completions are cut off and none is correct.",
    ),
]
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
StopTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        help="End a completion after this text, which stays in it; repeatable; another condition.",
        metavar="TEXT",
    ),
]
Temperatures = Annotated[
    list[float] | None,
    typer.Option("-t", "--temperature", help="A temperature; repeatable. Default without --sigma: the study's."),
]
Sigmas = Annotated[
    list[float] | None, typer.Option("--sigma", help="A sigma; repeatable. Default without -t: the study's.")
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
TrainingSlice = Annotated[
    str | None,
    typer.Option(
        "--problems",
        help="Problem indices to train on. Default: the task's training problems (countdown: 0:200).",
        metavar="FIRST:STOP",
    ),
]
EvalSlice = Annotated[
    str | None,
    typer.Option(
        "--eval-problems",
        help="Problem indices to evaluate trained models on. Default: the task's test problems (countdown: 200:2200).",
        metavar="FIRST:STOP",
    ),
]
EsSigma = Annotated[float, typer.Option("--sigma", help="Standard deviation of the noise of a population.")]
Alpha = Annotated[float, typer.Option("--alpha", help="Learning rate: what an update is multiplied by.")]
Population = Annotated[int, typer.Option("--population", help="Perturbed models per iteration.")]
Iterations = Annotated[int, typer.Option("--iterations", help="Iterations in all; raise it later to go on.")]
ProblemsPerIteration = Annotated[
    int | None,
    typer.Option(
        "--problems-per-iteration",
        help="Training problems of one iteration, which takes the next ones each time. Default: all.",
    ),
]
ShapingName = Annotated[
    str, typer.Option("--shaping", help="zscore (as published) or rank: how rewards weigh a population's noise.")
]
Antithetic = Annotated[
    bool, typer.Option("--antithetic", help="Members in pairs: one adds the noise of a seed, one subtracts it.")
]
EvalEvery = Annotated[
    int,
    typer.Option("--eval-every", help="Iterations between greedy runs on the evaluation problems; 0: none."),
]
RunSeed = Annotated[int, typer.Option("--seed", help="Names the run: another seed trains an independent replicate.")]
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
    typer.Option(
        "--condition",
        help="Only conditions with this id, label (T=0.8, or as tables print it) or kind; repeatable.",
    ),
]
TaskFilter = Annotated[
    str | None, typer.Option("--task", help="Only conditions of this task.", metavar="NAME|FILE.yaml")
]
ModelFilter = Annotated[
    str | None,
    typer.Option("--model", help="Only conditions of this model: its name or path, or the end of one.", metavar="NAME"),
]
GivenName = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="What tables call the model, such as base; kept in the database. Default: the telling part of its path.",
        metavar="NAME",
    ),
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
