"""The full report, in Markdown and JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest

from esprobe.records import PublishedPoint
from esprobe.report.markdown import as_report
from esprobe.report.report_json import as_report_json
from esprobe.results.results import Results
from tests.report.material import HOSTILE, condition, result, session

EMPTY = Results(task="countdown", scorer="es-paper/1", conditions=())


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


ANALYSIS = ("verdict", "selection", "against_null", "pairs", "arms", "training_selection", "cost_matched")


class TestMarkdown:
    def test_sections_in_order(self, results):
        heads = [line[3:] for line in as_report(results).splitlines() if line.startswith("## ")]
        assert heads == [
            "Setup",
            "pass@k",
            "Published points to compare with",
            "What is incomplete",
            "Length and cut-off",
            "How intervals were made",
            "Provenance",
        ]

    def test_setup(self, results):
        setup = section(as_report(results), "Setup")
        for row in (
            "| Task | countdown |",
            "| Scorer | es-paper/1 |",
            f"| Data digest | {'d' * 64} |",
            "| Problem indices | 200 to 239 (40 problems) |",
            "| Seeds | 42 to 105; 42 to 81 |",
            f"| Model | Qwen/Qwen2.5-0.5B-Instruct, fingerprint {'f' * 64} |",
            "| dtype | float16 |",
            "| Engine | vllm |",
            "| max new tokens | 1,024 |",
            "| Temperatures | 0.4; 1 |",
            "| Top k | off |",
            "| Sigmas | 0.005; 0.01 |",
            "| Noise | iid |",
        ):
            assert row in setup

    def test_baselines_stand_apart(self, results):
        curves = section(as_report(results), "pass@k")
        assert "- greedy: pass@1 7.5 % [" in curves
        assert "| k | T=0.4 | T=1 | sigma=0.005 | sigma=0.01 | random expressions |" in curves
        assert "- random expressions: the given numbers in random order; over 40 problems" in curves

    def test_published_points_name_their_model(self, results):
        published = section(as_report(results), "Published points to compare with")
        assert "| Qwen/Qwen2.5-0.5B-Instruct | base model, greedy | about 0.1 % |" in published
        assert "| Qwen/Qwen2.5-0.5B-Instruct | GRPO, 30 generations | about 0 % |" in published
        assert "| Qwen/Qwen2.5-0.5B-Instruct | ES, 500 iterations | about 15.7 % |" in published
        assert "Not measured here" in published and "background only" not in published

    def test_published_points_of_another_model_are_background(self, results):
        other = replace(results, published=(PublishedPoint("someone/else", "greedy", 0.5),))
        assert "background only" in section(as_report(other), "Published points to compare with")

    def test_what_is_missing(self, results):
        incomplete = section(as_report(results), "What is incomplete")
        assert incomplete.strip() == (
            "- sigma=0.005: 60 of 1,600 planned rollouts are missing; problems have 36 to 40 rollouts: each counts "
            "with its own number, and k ends at 36."
        )

    def test_nothing_is_missing(self, one):
        incomplete = section(as_report(one(condition(), [[1], [0]])), "What is incomplete")
        assert incomplete.strip() == "Every planned rollout is stored."

    def test_a_plan_that_is_not_recorded(self, one):
        text = as_report(one(condition(), [[1], [0]], extent=None, missing=None))
        assert "- greedy: what was planned is not recorded, 2 rollouts are stored." in text

    def test_problems_without_any_rollout(self, one):
        made = one(condition(temperature=0.4), [[1, 0], [0, 0]])
        wider = made.conditions[0].extent._replace(problems=5, stop_index=205)
        text = as_report(one(condition(temperature=0.4), [[1, 0], [0, 0]], extent=wider, planned=10, missing=6))
        assert "6 of 10 planned rollouts are missing; 3 problems without any rollout." in text

    def test_cut_off(self, results):
        assert "| T=0.4 | 2,560 | 25.6 % | 768,000 | 300.0 | 25.0 % |" in as_report(results)

    def test_sessions_that_ran_alike_share_a_place(self, results):
        provenance = section(as_report(results), "Provenance")
        assert "Sessions 1, 2:\n\n- scorer: es-paper/1\n- host: node7\n" in provenance
        assert "Session 3:\n\n- scorer: es-paper/1\n- host: node9\n" in provenance
        assert "- versions: esprobe 0.1.0, vllm 0.32.0\n- hardware: gpu NVIDIA H100, count 1\n" in provenance
        assert "| killed or still running |" in provenance

    def test_hostile_text_stays_text(self, results):
        evil = condition(temperature=0.7, model=HOSTILE, scope=HOSTILE, engine=HOSTILE)
        odd = session(4, host=HOSTILE, command=HOSTILE, versions={HOSTILE: HOSTILE}, engine={}, outcome=HOSTILE)
        text = as_report(
            replace(
                results,
                labels={},
                task=HOSTILE,
                scorer=HOSTILE,
                conditions=(*results.conditions, result(9, evil, [[1, 0], [0, 0]])),
                nulls=tuple(replace(null, label=HOSTILE, definition=HOSTILE) for null in results.nulls),
                published=(PublishedPoint(HOSTILE, HOSTILE, 0.5),),
                sessions=(*results.sessions, odd),
            )
        )
        for active in ("<script>", "://", "@all", "www.", "\x1b", "\u202e", "\n# <"):
            assert active not in text
        assert text.count("\\[x\\](") == text.count("](") > 10
        assert "- engine: not recorded" in text
        lines = text.replace("\\|", "").splitlines()
        for before, line in zip(lines, lines[1:], strict=False):
            if before.startswith("|") and line.startswith("|"):
                assert before.count("|") == line.count("|")

    def test_no_conditions(self):
        assert as_report(EMPTY) == "# pass@k on countdown\n\nNothing is stored yet.\n"

    def test_the_same_results_give_the_same_text(self, results):
        assert as_report(results) == as_report(results)


class TestJson:
    def test_holds_the_contract_and_more(self, results):
        document = json.loads(as_report_json(results))
        assert list(document) == ["schema", "task", "scorer", "conditions", "nulls", *ANALYSIS, "published", "sessions"]
        sigma = document["conditions"][3]
        assert sigma["plan"] == {
            "first_index": 200,
            "stop_index": 240,
            "problems": 40,
            "first_seed": 42,
            "samples": 40,
        }
        assert (sigma["missing"], sigma["identity"]["noise"], sigma["level"]) == (60, "iid", 0.95)
        assert sigma["digest"] == results.conditions[3].condition.digest
        assert document["conditions"][4]["pass_at_k"][0]["note"] == "none correct"
        assert document["published"][2] == {
            "model": "Qwen/Qwen2.5-0.5B-Instruct",
            "method": "ES, 500 iterations",
            "estimate": 0.157,
        }
        assert document["sessions"][2]["ended_utc"] is None
        assert document["sessions"][0]["versions"] == {"esprobe": "0.1.0", "vllm": "0.32.0"}

    def test_a_plan_that_is_not_recorded(self, one):
        (entry,) = json.loads(as_report_json(one(condition(), [[1], [0]], extent=None, missing=None)))["conditions"]
        assert entry["plan"] is None and entry["missing"] is None

    def test_no_conditions(self):
        assert json.loads(as_report_json(EMPTY))["conditions"] == []


@pytest.mark.parametrize("correct", [[[1, 0]], [[1], [0]], [[1]], np.ones((5, 4)), np.zeros((5, 4)), np.zeros((0, 0))])
@pytest.mark.parametrize("changes", [{}, {"temperature": 0.4}, {"sigma": 0.005}], ids=["greedy", "temp", "sigma"])
def test_degenerate_data_get_words_and_never_nan(one, correct, changes):
    results = one(condition(**changes), correct)
    text = as_report(results)
    assert "nan" not in text.lower() and "None" not in text
    json.loads(as_report_json(results), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
