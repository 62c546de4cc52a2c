"""Tests of the recipes: the loop in one file makes the steps that the trainer makes."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import gymnasium
import pytest
import torch

import axpo
from axpo.distributed.ranks import Ranks
from axpo.plan.machines import machine_named
from axpo.plan.placement import Placement
from axpo.plan.planning import Subject, make_plan
from axpo.plan.workload import Expected
from axpo.run.environments import make_env, parse_env_args
from axpo.run.validation import check_ranks, resolved
from axpo.settings.config_file import read_toml
from axpo.settings.sft import SftConfig
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


@pytest.mark.parametrize(
    ("name", "tools"), [("smollm2-search", ["search", "open"]), ("smollm2-signs", ["ocr", "image_zoom_in"])]
)
def test_a_warm_start_and_the_training_behind_it_have_the_same_tools(
    name: str, tools: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    warm = read_toml(RECIPE.with_name(f"{name}.toml"), SftConfig)
    trained = read_toml(RECIPE.with_name(f"{name}-axpo.toml"), axpo.TrainConfig)
    assert trained.model.endswith(f"runs/{name}/stage-1")
    assert (warm.policy.dtype, warm.policy.tell_images) == (trained.policy.dtype, trained.policy.tell_images)
    monkeypatch.chdir(tmp_path)
    loaded("photo_signs", monkeypatch).write_questions(Path("signs"), count=2)
    for config in (warm, trained):
        env = make_env(config.env, parse_env_args(config.env_args))
        assert [tool.name for tool in env.tools] == tools


@pytest.mark.parametrize(("name", "devices"), [("qwen3-vl-2b", 1), ("qwen3-vl-8b", 8), ("qwen3-vl-8b-two-nodes", 16)])
def test_recipes_of_size_are_accepted_by_train_and_fit_on_their_devices(name: str, devices: int) -> None:
    given = read_toml(RECIPE.with_name(f"{name}.toml"), axpo.TrainConfig)
    # A GPU is all that `axpo train` would miss here.
    settled = resolved(replace(given, policy=replace(given.policy, device="cpu")))
    sampling, selection, loss = settled.sampling, settled.selection, settled.loss
    assert (sampling.group_size, sampling.temperature) == (8, 1.0)
    assert (selection.budget, selection.continuations) == (0.25, 4)
    assert (loss.clip_low, loss.clip_high, loss.kl) == (0.2, 0.4, 1e-3)
    said = Expected(prompt_tokens=1500, prompt_images=1, image_tokens=100)
    placement = Placement(learners=devices, is_divided=devices > 1, machine=machine_named("a100-80gb"))
    check_ranks(settled, Ranks(count=devices))
    plan = make_plan(Subject.of(given, said), placement)
    assert plan.memory.fits
    assert plan.times is not None
