"""Greedy accuracy of a small model: ``python -m esprobe.bundled.training.measure generated countdown.json``.

Owns the plainest possible measurement, with no engine or store, so that the bundled model's record does not lean
on what it is there to test. Does not know training.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from esprobe.bundled import TINY
from esprobe.spec import Problem
from esprobe.tasks.countdown import load, score
from esprobe.tasks.countdown.prompts import prompt

CHUNK = 500
MOST_TOKENS = 64
TEST = slice(200, 2200)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the greedy accuracy on the test problems of each data set, and note it in training.json."""
    import torch
    import transformers

    parser = argparse.ArgumentParser(description="Greedy accuracy of the model that ships with esprobe.")
    parser.add_argument("data", nargs="+", help='"generated" or the path of a data file')
    parser.add_argument("--model", type=Path, default=TINY, help="checkpoint folder with a training.json")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    coder = transformers.AutoTokenizer.from_pretrained(options.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    measured = {}
    for data in options.data:
        measured[Path(data).name] = share = accuracy(model, coder, load().data_set(data).problems[TEST])
        sys.stdout.write(f"{data}: greedy accuracy {share:.4f}\n")
    path = options.model / "training.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["test_greedy_accuracy"] = record.get("test_greedy_accuracy", {}) | measured
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def accuracy(model: Any, coder: Any, problems: Sequence[Problem]) -> float:
    """Share of problems that greedy decoding solves."""
    right = 0
    for start in range(0, len(problems), CHUNK):
        chunk = problems[start : start + CHUNK]
        for problem, text in zip(chunk, greedy(model, coder, [render(coder, p) for p in chunk]), strict=True):
            right += score(text, problem.inputs["numbers"], problem.inputs["target"]).correct
    return right / len(problems)


def greedy(model: Any, coder: Any, prompts: Sequence[str]) -> list[str]:
    """One greedy completion of each prompt."""
    import torch

    batch = coder(list(prompts), add_special_tokens=False, padding=True, return_tensors="pt")
    asked = batch["input_ids"]
    model.eval()
    with torch.inference_mode():
        out = model.generate(asked, attention_mask=batch["attention_mask"], do_sample=False, max_new_tokens=MOST_TOKENS)
    texts: list[str] = coder.batch_decode(out[:, asked.shape[1] :], skip_special_tokens=True)
    return texts


def render(coder: Any, problem: Problem) -> str:
    """The chat prompt as one text, the assistant's turn begun."""
    asked = prompt(problem, "chat")
    messages = [{"role": role, "content": content} for role, content in asked.messages]
    text: str = coder.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text + asked.assistant_prefix


if __name__ == "__main__":
    main()
