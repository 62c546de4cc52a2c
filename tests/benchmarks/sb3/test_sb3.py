"""stable-baselines3 on tool environments: its own check, its algorithms, and what `axpo-bench sb3` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")
pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed")

import torch
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv

from axpo_benchmarks.cli import main
from axpo_benchmarks.sb3 import _training
from axpo_benchmarks.sb3._features import AskedFeatures
from axpo_benchmarks.sb3._tasks import TASKS, episodes_of
from axpo_benchmarks.sb3._training import ALGORITHMS, score, train
from axpo_envs.adapters.sb3 import FixedSpaces
from axpo_envs.suite.visual_zoom import VisualZoom


@pytest.mark.parametrize("actions", ["discrete", "multi"])
@pytest.mark.parametrize("name", TASKS)
def test_its_check_passes_without_a_warning(name: str, actions: Literal["discrete", "multi"]) -> None:
    task = TASKS[name]
    check_env(
        FixedSpaces(task.make("train"), answers=task.answers, image_size=task.image_size, actions=actions), warn=True
    )


def test_its_vectors_take_snapshots_and_masks_through_the_wrapper() -> None:
    vector = DummyVecEnv([lambda: FixedSpaces(VisualZoom(max_turns=1), answers="01234")] * 2)
    vector.reset()
    moments = vector.env_method("snapshot")
    first, *_ = vector.step(np.array([0, 4]))
    assert is_masking_supported(vector)
    assert get_action_masks(vector).tolist() == [[False] * 9 + [True] * 5] * 2
    for number, moment in enumerate(moments):
        vector.env_method("restore", moment, indices=number)
    again, *_ = vector.step(np.array([0, 4]))
    assert all((first[key] == again[key]).all() for key in first)


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight steps of sixteen episodes between updates, and one pass over them."""
    monkeypatch.setitem(_training._SETTINGS, "n_steps", 8)
    monkeypatch.setitem(_training._SETTINGS, "n_epochs", 1)


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize(
    ("task", "algorithm"), [*(("doors", name) for name in ALGORITHMS), ("visual-zoom-easier", "ppo")]
)
def test_every_algorithm_trains_and_is_scored(task: str, algorithm: str) -> None:
    run = train(TASKS[task], algorithm, steps=1, seed=0, episodes=5)
    assert run.curve[-1].steps == 128
    assert 0 <= run.curve[-1].success <= 0.6
    assert run.trained.episodes == run.floor.episodes == 5


def test_a_policy_that_knows_the_way_scores_one() -> None:
    class Knowing:
        """Reads the note (0), opens its door (1 to 6), answers with the letter (7 to 12)."""

        def predict(self, observation: Any, deterministic: bool) -> tuple[int, None]:
            state = env.unwrapped.state
            if not state.turns:
                return 0, None
            told = state.turns[-1].observation[0]
            return (int(told[-1]) if len(state.turns) == 1 else 7 + "abcdef".index(told)), None

    task = TASKS["doors"]
    (env,) = episodes_of(task, "validation", 1)
    counted = 0
    for index in range(20):
        observation, _ = env.reset(options={"index": index})
        over = False
        while not over:
            action, _ = Knowing().predict(observation, deterministic=True)
            observation, reward, over, *_ = env.step(action)
        counted += reward
    assert counted == 20
    floor = score(task, None, episodes=200, seed=0)
    assert 0.05 < floor.success < 0.35


def test_what_the_question_asks_changes_what_is_seen() -> None:
    torch.manual_seed(0)
    env = FixedSpaces(VisualZoom(), answers="01")
    network = AskedFeatures(env.observation_space)
    observation, _ = env.reset(seed=0)
    batch = {key: torch.as_tensor(np.stack([value, value])).float() for key, value in observation.items()}
    batch["image"] = batch["image"].permute(0, 3, 1, 2) / 255
    batch["question"] = torch.stack([batch["question"][0], 1 - batch["question"][1]])
    seen = network(batch)
    assert seen.shape == (2, 128)
    assert not torch.allclose(seen[0], seen[1])


def test_where_something_is_does_not_change_what_it_is() -> None:
    torch.manual_seed(0)
    space = FixedSpaces(VisualZoom(), answers="01").observation_space
    network = AskedFeatures(space)
    image = torch.zeros(2, 3, 64, 64)
    image[0, :, 16:20, 16:20] = 1
    image[1, :, 40:44, 32:36] = 1
    largest, across, down = network._seen(image, torch.zeros(2, 64))
    assert torch.allclose(largest[0], largest[1], atol=1e-6)
    bright = int((largest[0] - network._seen(torch.zeros(1, 3, 64, 64), torch.zeros(1, 64))[0][0]).argmax())
    assert across[0, bright] < across[1, bright]
    assert down[0, bright] < down[1, bright]


@pytest.mark.usefixtures("short_rounds")
def test_the_command_writes_floors_curves_and_what_they_were_measured_on(tmp_path: Path) -> None:
    file = tmp_path / "sb3.json"
    arguments = ["--tasks", "doors", "--steps", "1", "--episodes", "3", "--threads", "1", "--json", str(file)]
    assert main(["sb3", *arguments]) == 0
    record = json.loads(file.read_text())
    (run,) = record["runs"]
    assert (run["task"], run["algorithm"], run["seed"]) == ("doors", "ppo", 0)
    assert run["curve"][0]["steps"] == 128
    assert {"command", "machine", "versions"} <= set(record)
