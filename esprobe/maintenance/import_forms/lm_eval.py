"""``samples_*.jsonl`` of lm-evaluation-harness: a line per document and filter, with the responses to its requests.

Format: ``evaluate`` in lm_eval/evaluator.py and ``save_results_samples`` in lm_eval/loggers/evaluation_tracker.py.
"""

from pathlib import Path
from typing import Any

from esprobe.maintenance.import_forms.forms import Fields, Form, Found, Plan, Rollout, choose, wrong
from esprobe.maintenance.import_forms.json_lines import records
from esprobe.maintenance.import_forms.texts import columns_of

_NAME = "lm-evaluation-harness samples"
_NO_METRIC = frozenset(
    ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash")
    + ("target_hash", "task_name")
)


def _responses(path: Path, place: str, line: Fields) -> list[Any]:
    """The repeats of the one request of a document."""
    resps = line["resps"]
    one = resps[0] if isinstance(resps, list) and len(resps) == 1 else resps
    if not isinstance(one, list) or not all(isinstance(text, str) for text in one) or one is resps:
        raise wrong(
            path,
            place,
            'has "resps" without a single request of completions, as of a task that compares the likelihoods of given '
            "answers; only tasks of output type generate_until sample any",
        )
    return one


def _metrics(line: Fields) -> list[str]:
    named = line.get("metrics")  # absent before version 0.4.8
    names = named if isinstance(named, list) else [name for name in line if name not in _NO_METRIC]
    return [name for name in names if isinstance(name, str) and name in line]


def _is_per_response(value: Any, count: int) -> bool:
    """Whether a metric has a verdict on each of a document's responses."""
    values = value if isinstance(value, list) else [value]
    return len(values) == count and all(isinstance(one, int | float) and one in (0, 1) for one in values)


def _filter(line: Fields) -> str:
    return str(line.get("filter", "none"))


class _Survey:
    """What the lines of a file have: filters in order, and which metrics have a verdict on every response."""

    def __init__(self, path: Path) -> None:
        self.filters: dict[str, None] = {}
        self.usable: dict[tuple[str, str], bool] = {}
        self.metrics: dict[str, None] = {}
        for place, line in records(path):
            if "doc_id" not in line or "resps" not in line:
                raise wrong(path, place, 'has no "doc_id" or no "resps"')
            name, count = _filter(line), len(_responses(path, place, line))
            self.filters[name] = None
            for metric in _metrics(line):
                self.metrics[metric] = None
                key = (metric, name)
                self.usable[key] = self.usable.get(key, True) and _is_per_response(line[metric], count)


def _found(path: Path, metric: str | None, chosen: str) -> Found:
    for place, line in records(path):
        if _filter(line) != chosen:
            continue
        texts = _responses(path, place, line)
        value = None if metric is None else line.get(metric)
        verdicts = value if isinstance(value, list) else [value] * len(texts)
        columns = columns_of(line.get("doc"), line["doc_id"])
        for seed, (text, verdict) in enumerate(zip(texts, verdicts, strict=True)):
            where = place if len(texts) == 1 else f"{place}, response {seed + 1}"
            fields = {"problem": line["doc_id"], "completion": text, "correct": verdict, "seed": seed}
            yield Rollout(where, fields, columns)


def _plan(path: Path, score: str | None) -> Plan:
    survey = _Survey(path)
    named = {",".join(key): key for key, is_usable in survey.usable.items() if is_usable}
    if score is not None and score not in named:  # "strict-match" or "exact_match" suffices where that says which
        meant = [text for text, key in named.items() if score in key]
        score = meant[0] if len(meant) == 1 else score
    key = choose(path, list(named), score, "pairs of metric and filter")
    if key is not None:
        metric: str | None = named[key][0]
        chosen, why = named[key][1], None
        verdict = f"{metric} (filter {chosen}) is the verdict"
    else:
        metric, chosen = None, next(iter(survey.filters), "none")
        why = f"{', '.join(survey.metrics) or 'no metric'} has no value of 0 or 1 for each response"
        verdict = f"no verdict ({why})"
    others = [name for name in survey.filters if name != chosen]
    left = f"; lines of filter {', '.join(others)} repeat the same responses and are passed over" if others else ""
    mapping = f"doc_id is the problem, resps are the completions, {verdict}{left}"
    return Plan(mapping, lambda: _found(path, metric, chosen), why)


FORM = Form(_NAME, "doc_id, resps", lambda record: "doc_id" in record and "resps" in record, _plan, takes_score=True)
