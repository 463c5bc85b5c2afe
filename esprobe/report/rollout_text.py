"""Rollouts to be read: prompt, completion and verdict as text, and the same as JSON.

Completions and prompts never act on the terminal: line breaks stay, every other character that a terminal
could act on (escapes, carriage returns, marks that turn the direction of text) is spelled out, and nothing is markup.
"""

import json
from collections.abc import Mapping

from rich.text import Text

from esprobe.records import ShownRollout
from esprobe.report.text import count
from esprobe.safe_text import multiline, plain

SCHEMA = 1

_LONGEST_INPUT = 80
_TAB = "    "


def as_text(shown: ShownRollout, label: str) -> Text:
    """One rollout; ``label`` names its condition. Styled for a terminal; its plain form loses nothing.

    The completion follows the assistant prefix, in bold if the terminal has it.
    """
    rollout = shown.rollout
    verdict = "correct" if rollout.correct else f"wrong: {plain(rollout.failure or 'no reason given')}"
    facts = [
        f"problem {rollout.problem} ({plain(shown.group)})",
        f"condition {shown.condition_id} ({plain(label)})",
        f"seed {rollout.seed}",
        verdict,
        f"reward {rollout.reward:g}",
        f"answer {plain(rollout.answer)}" if rollout.answer is not None else "no answer",
        f"{count(rollout.token_count)} tokens, ended by {plain(rollout.finish_reason)}",
        f"session {shown.session_id}",
    ]
    inputs = [f"{plain(name)} {plain(str(value))}" for name, value in shown.inputs.items()]
    text = Text()
    text.append(f"=== {' | '.join(facts)}\n", style="green" if rollout.correct else "red")
    # What is longer than a line stands in the prompt anyhow.
    text.append(f"{', '.join(given for given in inputs if len(given) <= _LONGEST_INPUT)}\n", style="dim")
    for role, content in shown.prompt.messages:
        text.append(f"--- {plain(role)}\n", style="cyan")
        text.append(multiline(content, _TAB).rstrip("\n") + "\n")
    text.append("--- completion\n", style="cyan")
    text.append(multiline(shown.prompt.assistant_prefix, _TAB), style="dim")
    text.append(multiline(rollout.completion, _TAB).rstrip("\n") + "\n", style="bold")
    return text


def as_object(shown: ShownRollout, label: str) -> Mapping[str, object]:
    """One rollout for programs, texts as stored."""
    rollout = shown.rollout
    return {
        "problem": rollout.problem,
        "group": shown.group,
        "inputs": dict(shown.inputs),
        "condition": shown.condition_id,
        "label": label,
        "seed": rollout.seed,
        "prompt": {"messages": [list(turn) for turn in shown.prompt.messages], "begun": shown.prompt.assistant_prefix},
        "completion": rollout.completion,
        "reward": rollout.reward,
        "correct": rollout.correct,
        "answer": rollout.answer,
        "failure": rollout.failure,
        "token_count": rollout.token_count,
        "finish_reason": rollout.finish_reason,
        "session": shown.session_id,
    }


def as_json_line(shown: ShownRollout, label: str) -> str:
    """One line of JSON, in ASCII: whatever a completion holds, a terminal is safe."""
    return json.dumps(as_object(shown, label)) + "\n"
