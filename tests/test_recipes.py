"""Tests of the recipes: the loop in one file makes the steps that the trainer makes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import gymnasium
import pytest
import torch

import axpo
from axpo_agents.transformers_policy import load_policy

RECIPE = Path(__file__).parents[1] / "recipes" / "one_file_axpo.py"
MOST_LINES = 300


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return loaded("one_file_axpo", monkeypatch)


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, RECIPE.with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("budget", [0.5, 0.0])
def test_one_file_makes_the_steps_of_the_trainer(recipe: ModuleType, tmp_path: Path, budget: float) -> None:
    config = axpo.TrainConfig(
        steps=2,
        seed=5,
        out=str(tmp_path / "run"),
        sampling=axpo.SamplingConfig(questions=4, group_size=4),
        selection=axpo.SelectionConfig(budget=budget),
        log=axpo.LogConfig(eval_questions=0, tensorboard=False),
    )
    run = axpo.train(config)
    steps = list(recipe.train(recipe.Settings(steps=2, seed=5, questions=4, group_size=4, budget=budget)))
    branches = [branch for step in steps for group in step["groups"] for branch in group.branches]
    assert bool(branches) is (budget > 0)
    assert [step["reward"] for step in steps] == [record["reward_mean"] for record in run.metrics]
    assert [step["acting"] for step in steps] == [record["tool_attempt_rate"] for record in run.metrics]
    for step, record in zip(steps, run.metrics, strict=True):
        losses = step["losses"]
        assert (sum(losses) / len(losses) if losses else None) == pytest.approx(record["loss"], rel=1e-4, abs=1e-7)
    trained = load_policy(str(run.checkpoint)).model.state_dict()
    for name, weight in steps[-1]["policy"].model.state_dict().items():
        torch.testing.assert_close(weight, trained[name], rtol=1e-4, atol=1e-6)


def test_the_file_can_be_read_in_one_sitting() -> None:
    assert len(RECIPE.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_the_file_uses_nothing_of_the_trainer() -> None:
    assert not any(
        line.startswith(("import axpo\n", "from axpo ", "from axpo."))
        for line in RECIPE.read_text().splitlines(keepends=True)
    )


def test_signs_are_drawn_on_photographs_and_the_reader_answers_what_it_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signs = loaded("photo_signs", monkeypatch)
    file = signs.write_questions(tmp_path, count=2)
    splits = [gymnasium.make("axpo/ToolTask-v0", questions=str(file), split=name) for name in ("test", "train")]
    env = splits[1].unwrapped
    assert [split.unwrapped.questions.size for split in splits] == [1, 1]
    observation, _ = env.reset(seed=0)
    assert max(observation["images"][0].shape) == signs.SIDE
    question = env.state.question
    word = question.text.split()[4]
    reader = signs.Reader()
    assert '"ocr"' in reader.act(observation, env.state)
    read = f"1. Zoo 99 (box [1, 2, 3, 4], confidence 1.00)\n2. {word} {question.answer} (box [1, 2, 3, 4])"
    looked = SimpleNamespace(question=question, turns=(None,))
    assert env.step(reader.act({"text": read}, looked))[1] == 1.0
    assert "<answer>10</answer>" in reader.act({"text": "No text was found."}, looked)
