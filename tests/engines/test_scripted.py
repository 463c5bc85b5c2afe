"""The scripted engine keeps the contract; it has no weights."""

import json
from pathlib import Path

import pytest

from esprobe.engines import EngineOptions
from esprobe.engines.scripted import ScriptedEngine
from esprobe.errors import ModelError
from esprobe.spec import Perturbation, Prompt
from tests.engines.contract import EvolutionContract, GenerationContract, drawn, request_for, texts, trained


class TestScripted(GenerationContract, EvolutionContract):
    @pytest.fixture
    def engine(self, script: Path) -> ScriptedEngine:
        return ScriptedEngine.load(ScriptedEngine.identify(str(script), "auto"), EngineOptions())

    @pytest.fixture
    def prompts(self) -> list[Prompt]:
        return [Prompt((), f"say {i}") for i in range(40)]

    def test_a_perturbation_is_another_model(self, engine: ScriptedEngine, prompts: list[Prompt]) -> None:
        requests = [request_for(prompt, i) for i, prompt in enumerate(prompts)]
        plain = texts(engine, requests)
        with engine.perturbed(Perturbation(1, 0.1)):
            one = texts(engine, requests)
        with engine.perturbed(Perturbation(2, 0.1)):
            two = texts(engine, requests)
        assert plain != one != two != plain
        assert texts(engine, requests) == plain

    def test_a_settled_model_is_the_loaded_one_from_then_on(
        self, engine: ScriptedEngine, prompts: list[Prompt]
    ) -> None:
        requests = [request_for(prompt, i) for i, prompt in enumerate(prompts)]
        loaded = texts(engine, requests)
        engine.evolve(trained(2))
        evolved = texts(engine, requests)
        engine.settle()
        engine.evolve(trained(1, run=1))
        assert texts(engine, requests) not in (evolved, loaded)
        engine.evolve(trained(0))
        assert texts(engine, requests) == evolved

    def test_a_problem_may_have_texts_of_its_own(self, tmp_path: Path) -> None:
        path = tmp_path / "own.json"
        path.write_text(json.dumps({"*": ["other"], "0": ["mine"]}))
        engine = ScriptedEngine.load(ScriptedEngine.identify(str(path), "auto"), EngineOptions())
        assert texts(engine, drawn([Prompt((), ""), Prompt((), "")])) == ["mine", "other"]


@pytest.mark.parametrize("content", ["", "[", "[]", "{}", '{"*": []}', '{"*": [1]}', '{"1": ["a"]}'])
def test_a_broken_script_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=r"broken\.json"):
        ScriptedEngine.identify(str(path), "auto")
