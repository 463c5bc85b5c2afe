"""The write path beside inspect_ai's: as many samples, the same texts and scorer, models that cost nothing.

inspect_ai draws from its mock model (``mockllm``), scores with a scorer that calls esprobe's, and writes its log, once
as it does by default and once without its realtime log. esprobe draws from the scripted engine, scores and stores.
Printed, never asserted.

    nox -s inspect_ai -- --problems 200 --samples 10
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

from esprobe.tasks.countdown import score
from esprobe.tasks.countdown.generate import generated_rows

FIRST = 200


def texts() -> list[str]:
    """Two hundred completions of about 600 characters."""
    rng = random.Random(0)
    words = "we try to add then subtract that gives which is not equal so another way 12 + 7 = 19"
    return [f" {' '.join(rng.choices(words.split(), k=150))} </think>\n<answer> {i} + 2 </answer>" for i in range(200)]


def inspect_seconds(problems: int, samples: int, realtime: bool, folder: Path) -> float:
    """Seconds of ``eval`` from call to return, imports not counted."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import Score, Target, mean, scorer
    from inspect_ai.solver import TaskState, generate

    @scorer(metrics=[mean()])
    def countdown():  # type: ignore[no-untyped-def]
        async def judge(state: TaskState, target: Target) -> Score:
            verdict = score(state.output.completion, state.metadata["numbers"], target.text)
            return Score(value=verdict.reward, answer=verdict.answer)

        return judge

    rows = list(generated_rows())[FIRST : FIRST + problems]
    dataset = [
        Sample(input=f"Reach {row.target} with {list(row.numbers)}.", target=str(row.target),
               metadata={"numbers": list(row.numbers)})
        for row in rows
    ]  # fmt: skip
    used = ModelUsage(input_tokens=20, output_tokens=150, total_tokens=170)  # else a tokenizer would be fetched
    answers = (ModelOutput.from_content("mockllm/model", text) for text in cycle(texts()))
    outputs = (answer.model_copy(update={"usage": used}) for answer in answers)
    model = get_model("mockllm/model", custom_outputs=outputs)
    task = Task(dataset=dataset, solver=generate(), scorer=countdown(), epochs=samples)
    started = time.perf_counter()
    (log,) = eval(task, model=model, display="none", log_dir=str(folder), log_realtime=realtime)
    assert log.status == "success", log.error
    return time.perf_counter() - started


def esprobe_seconds(problems: int, samples: int, folder: Path) -> float:
    """Seconds of the whole command, imports counted."""
    script = folder / "script.json"
    script.write_text(json.dumps({"*": texts()}))
    words = ["sample-temp", "--engine", "scripted", "--model", script, "-t", "1", "--no-baseline"]
    words += ["--problems", f"{FIRST}:{FIRST + problems}", "--samples", samples, "--db", folder / "e.db"]
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "esprobe", *map(str, words)], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    count = options.problems * options.samples
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            ours = esprobe_seconds(options.problems, options.samples, folder)
            quick = inspect_seconds(options.problems, options.samples, False, folder)
            default = inspect_seconds(options.problems, options.samples, True, folder)
        print(
            f"{count:,} samples: esprobe {count / ours:,.0f}/s (the whole command), inspect_ai {count / quick:,.0f}/s "
            f"without its realtime log, {count / default:,.0f}/s by default; {quick / ours:.1f} and "
            f"{default / ours:.1f} times esprobe's time",
            flush=True,
        )


if __name__ == "__main__":
    main()
