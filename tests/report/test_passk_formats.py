"""passk's four formats, and what they say of data that are hardly there."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from esprobe.report.passk_json import as_json
from esprobe.report.passk_table import COLUMNS, as_csv, as_markdown, as_table
from esprobe.results.results import NullResult, Results
from esprobe.stats.curve import Curve
from tests.report.material import HOSTILE, condition, result

EMPTY = Results(task="countdown", scorer="es-paper/1", conditions=())

DEGENERATE = {
    "one problem": [[1, 0, 0, 1]],
    "one sample": [[1], [0], [1]],
    "one rollout": [[1]],
    "all correct": np.ones((5, 4)),
    "none correct": np.zeros((5, 4)),
    "equal problems": [[1, 0], [0, 1]],
    "nothing stored": np.zeros((0, 0)),
}


class TestJson:
    CONDITION_KEYS = [
        "id", "label", "name", "task", "kind", "sigma", "temperature", "model", "problems", "samples_min",
        "samples_max", "rollouts", "tokens", "pass_at_k",
    ]  # fmt: skip

    def test_is_the_contract(self, results):
        """DESIGN section 3: these keys, and in this order for whoever reads it."""
        text = as_json(results)
        document = json.loads(text)
        assert list(document) == ["schema", "task", "conditions", "nulls"]
        assert document["schema"] == 2 and document["task"] == "countdown"
        for entry in document["conditions"]:
            assert list(entry) == self.CONDITION_KEYS
            for found in entry["pass_at_k"]:
                assert list(found) == ["k", "estimate", "ci_low", "ci_high", "problems"]
        assert text.startswith('{\n  "schema": 2,\n') and text.endswith("}\n")

    def test_values(self, results):
        document = json.loads(as_json(results))
        greedy, t04, _, sigma, _ = document["conditions"]
        assert (greedy["kind"], greedy["sigma"], greedy["temperature"]) == ("greedy", None, None)
        assert (t04["label"], t04["temperature"], t04["samples_min"], t04["rollouts"]) == ("T=0.4", 0.4, 64, 2560)
        assert (sigma["label"], sigma["sigma"], sigma["samples_min"], sigma["samples_max"]) == (
            "sigma=0.005",
            0.005,
            36,
            40,
        )
        assert [p["k"] for p in sigma["pass_at_k"]] == [1, 2, 4, 8, 16, 32]
        expected = results.conditions[1].curve.points[0]
        assert t04["pass_at_k"][0] == {
            "k": 1,
            "estimate": expected.estimate,
            "ci_low": expected.ci_low,
            "ci_high": expected.ci_high,
            "problems": 40,
        }
        assert document["nulls"][0]["label"] == "random expressions"
        assert [p["k"] for p in document["nulls"][0]["pass_at_k"]] == [1, 2, 64]

    def test_a_missing_interval_is_null(self, one):
        (entry,) = json.loads(as_json(one(condition(temperature=0.4), [[1, 0]])))["conditions"]
        assert entry["pass_at_k"][0]["ci_low"] is None and entry["pass_at_k"][0]["ci_high"] is None

    def test_no_conditions(self):
        assert json.loads(as_json(EMPTY)) == {"schema": 2, "task": "countdown", "conditions": [], "nulls": []}


class TestTable:
    @pytest.mark.parametrize("width", [1, 20, 40, 80, 100, 200, 1000])
    def test_every_value_is_whole_at_every_width(self, results, width):
        """Narrow terminals get more blocks, never cut cells; one column beside k is the least there can be."""
        text = as_table(results, width)
        for result_ in results.sampled:
            for p in result_.curve.points:
                assert f"{100 * p.estimate:.1f} % [" in text
        assert max(map(len, (line for line in text.splitlines() if line[:1] in "+|"))) <= max(width, 36)
        assert text.count("|        k |") == {1: 5, 20: 5, 40: 5, 80: 2, 100: 2, 200: 1, 1000: 1}[width]

    def test_reads_the_same_piped_and_on_a_terminal(self, results, monkeypatch):
        for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "30"), ("TERM", "xterm-256color")):
            monkeypatch.setenv(name, value)
        coloured = as_table(results, 80)
        for name in ("FORCE_COLOR", "COLUMNS", "TERM"):
            monkeypatch.delenv(name)
        assert coloured == as_table(results, 80)
        assert coloured.isascii() and "\x1b" not in coloured

    def test_says_what_is_there(self, results):
        text = as_table(results, 200)
        assert text.startswith("countdown: pass@k with 95 % intervals, scored by es-paper/1\ngreedy: pass@1 7.5 % [")
        rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
        assert "36 to 40" in rows["samples"] and "60" in rows["missing"] and "exact" in rows["samples"]
        assert "n too small" in rows["64"] and "n too small" not in rows["32"]
        assert "0.0 % [0.0, 8.8]" in rows["1"]

    def test_an_incomplete_baseline_says_so(self, one):
        text = as_table(one(condition(), [[1], [0]], missing=3), 80)
        assert "2 problems, 3 missing" in text and "|" not in text

    def test_long_and_hostile_labels_are_folded_and_tame(self, results):
        evil = replace(results.conditions[1], condition=replace(results.conditions[1].condition, model=HOSTILE))
        mixed = replace(results, labels={}, task=HOSTILE, conditions=(evil, *results.conditions[2:]))
        text = as_table(mixed, 80)
        assert all(line.isprintable() for line in text.splitlines())
        lines = [line for line in text.splitlines() if line[:1] in "+|"]
        assert max(map(len, lines)) <= 80
        assert "[x]" in text.replace("\n", "")

    def test_wide_characters_keep_columns_straight(self, one):
        text = as_table(one(replace(condition(temperature=0.4), model="模型"), [[1, 0], [0, 0]]), 80)
        assert "T=0.4" in text

    def test_no_conditions(self):
        assert as_table(EMPTY, 80) == "countdown: nothing is stored yet\n"


class TestMarkdown:
    def test_rows_have_as_many_cells_as_the_head(self, results):
        evil = replace(results.conditions[1], condition=replace(results.conditions[1].condition, model=HOSTILE))
        text = as_markdown(replace(results, labels={}, conditions=(*results.conditions, replace(evil, id=9))))
        rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
        assert len(rows) == 2 + 7 + 3
        assert {row.count("|") for row in rows} == {1 + 1 + 5 + 1}
        assert "<script>" not in text and "\x1b" not in text

    def test_values_are_not_escaped(self, results):
        assert "0.0 % [0.0, 8.8]" in as_markdown(results)

    def test_a_baseline_alone_has_no_table(self, one):
        assert as_markdown(one(condition(), [[1], [0]])).startswith("- greedy: pass@1 50.0 % [")

    def test_no_conditions(self):
        assert as_markdown(EMPTY) == "Nothing is stored yet for countdown.\n"


class TestCsv:
    def test_values_survive(self, results):
        rows = list(csv.DictReader(io.StringIO(as_csv(results))))
        assert tuple(rows[0]) == COLUMNS
        assert len(rows) == 1 + 7 + 7 + 6 + 7
        row, expected = rows[1], results.conditions[1].curve.points[0]
        assert (row["condition"], row["kind"], row["sigma"], row["temperature"]) == ("T=0.4", "temperature", "", "0.4")
        assert (float(row["estimate"]), float(row["ci_low"])) == (expected.estimate, expected.ci_low)
        assert (row["k"], row["problems"], row["samples_min"], row["samples_max"]) == ("1", "40", "64", "64")

    def test_hostile_labels_stay_in_their_field(self, results):
        evil = replace(condition(temperature=0.4), model='a,"b"\n=c', model_fingerprint="0" * 64)
        mixed = replace(results, labels={}, conditions=(*results.conditions, result(9, evil, [[1, 0], [0, 0]])))
        text = as_csv(mixed)
        rows = list(csv.DictReader(io.StringIO(text)))
        assert rows[-1]["condition"] == 'T=0.4, a,"b"\\n=c'
        assert len(rows) + 1 == len(text.splitlines())

    def test_no_conditions(self):
        assert as_csv(EMPTY) == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("correct", DEGENERATE.values(), ids=DEGENERATE.keys())
@pytest.mark.parametrize("changes", [{}, {"temperature": 0.4}, {"sigma": 0.005}], ids=["greedy", "temp", "sigma"])
def test_degenerate_data_get_words_and_never_nan(one, correct, changes):
    results = one(condition(**changes), correct)
    json.loads(as_json(results), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    for text in (as_table(results, 80), as_markdown(results), as_csv(results)):
        assert "nan" not in text.lower() and "None" not in text


def test_the_reason_for_a_missing_interval_is_explained(one):
    results = one(condition(sigma=0.005), [[1], [0], [1]])
    for text in (as_table(results, 80), as_markdown(results)):
        assert "66.7 % (one perturbation)" in text
        assert "(one perturbation): no interval, because" in text


def test_a_null_without_points_is_no_error(results):
    bare = replace(results, nulls=(NullResult("guessing", "at random", Curve(())),))
    assert "guessing" in as_table(bare, 200)
