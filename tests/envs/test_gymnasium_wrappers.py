"""Gymnasium's vectors, wrappers and specs take every registered environment; a new one is tried by being registered."""

from __future__ import annotations

import pickle
import sys
import types
import warnings
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, RecordVideo, TimeLimit

from axpo_envs import ToolEnv
from axpo_envs._registration import ENTRY_POINTS
from axpo_envs.examples import example_turns

NEEDED: dict[str, dict[str, Any]] = {
    "axpo/Agentic-v0": {
        "families": ("multi_hop_search", "visual_zoom"),
        "family_knobs": {"multi_hop_search": {"corpus_size": 400}, "visual_zoom": {"image_size": 128}},
        "view_size": 32,
    },
    "axpo/MultiHopSearch-v0": {"corpus_size": 400},
    "axpo/PerceptionQA-v0": {"image_size": 1344, "view_size": 112},
    "axpo/ToolTask-v0": {
        "questions": [{"id": "sum", "prompt": "1 + 1?", "answer": "2"}],
        "tools": "image_zoom_in",
        "view_size": 32,
    },
}
"""What an environment cannot be made without, or what makes it small."""
every_environment = pytest.mark.parametrize("env_id", ENTRY_POINTS)


def make(env_id: str, **settings: Any) -> ToolEnv:
    env = gymnasium.make(env_id, **NEEDED.get(env_id, {}), **settings)
    assert isinstance(env.unwrapped, ToolEnv)
    return env.unwrapped


def shown(observation: Any) -> Any:
    return observation["text"], [image.tobytes() for image in observation["images"]]


@every_environment
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_vector_plays_the_episodes_of_its_seeds(env_id: str, mode: str) -> None:
    alone = [make(env_id), make(env_id)]
    turns = example_turns(alone[0].tools)
    vector = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode=mode, **NEEDED.get(env_id, {}))
    try:
        observation, _ = vector.reset(seed=3)
        expected = [env.reset(seed=3 + number)[0] for number, env in enumerate(alone)]
        for turn in turns:
            assert observation in vector.observation_space
            for number, one in enumerate(expected):
                assert shown({key: observation[key][number] for key in observation}) == shown(one)
            observation, _, terminated, truncated, _ = vector.step([turn, turn])
            steps = [env.step(turn) for env in alone]
            assert [terminated.tolist(), truncated.tolist()] == [[step[place] for step in steps] for place in (2, 3)]
            expected = [step[0] for step in steps]
            if (terminated | truncated).any():
                break
    finally:
        vector.close()
        for env in alone:
            env.close()


@every_environment
def test_wrappers_around_each_other_let_an_episode_through(env_id: str) -> None:
    plain = make(env_id)
    env = RecordEpisodeStatistics(TimeLimit(OrderEnforcing(PassiveEnvChecker(plain)), 100))
    with pytest.raises(ResetNeeded):
        env.step("")
    observation, _ = env.reset(seed=1)
    assert shown(observation) == shown(plain.observe(plain.state))
    turns, info = 0, {}
    for turn in (*example_turns(plain.tools), ""):
        *_, terminated, truncated, info = env.step(turn)
        turns += 1
        if terminated or truncated:
            break
    assert (info["episode"]["l"], info["episode"]["r"]) == (turns, pytest.approx(plain.state.reward))
    env.close()


@every_environment
def test_a_time_limit_truncates(env_id: str) -> None:
    env = gymnasium.make(env_id, max_episode_steps=1, **NEEDED.get(env_id, {}))
    env.reset(seed=1)
    call = example_turns(env.unwrapped.tools)[0]
    assert env.step(call)[2:4] == (False, True)
    env.close()


@every_environment
def test_its_spec_is_written_and_makes_the_same_environment_again(env_id: str) -> None:
    env = make(env_id)
    spec = env.spec
    assert spec is not None
    expected = shown(env.reset(seed=4)[0])
    for copy in (EnvSpec.from_json(spec.to_json()), pickle.loads(pickle.dumps(spec))):
        again = gymnasium.make(copy)
        assert shown(again.reset(seed=4)[0]) == expected
        assert isinstance(again.unwrapped, ToolEnv)
        again.unwrapped.restore(env.snapshot())
        again.close()
    env.close()


class Clip:
    """Stands for moviepy's clip: a video needs frames of one size."""

    written: ClassVar[list[str]] = []

    def __init__(self, frames: list[Any], fps: float) -> None:
        assert fps > 0
        assert len({frame.shape for frame in frames}) == 1
        assert all(frame.dtype == np.uint8 and frame.shape[2] == 3 for frame in frames)

    def write_videofile(self, path: str, **options: Any) -> None:
        self.written.append(Path(path).name)


@every_environment
def test_a_video_has_frames_of_one_size(env_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    modules = {name: types.ModuleType(name) for name in ("moviepy", "moviepy.video", "moviepy.video.io")}
    modules["moviepy.video.io.ImageSequenceClip"] = types.ModuleType("moviepy.video.io.ImageSequenceClip")
    modules["moviepy.video.io.ImageSequenceClip"].ImageSequenceClip = Clip  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(Clip, "written", [])
    env = RecordVideo(make(env_id, render_mode="rgb_array"), str(tmp_path / "videos"), episode_trigger=lambda _: True)
    env.reset(seed=0)
    for turn in (*example_turns(env.unwrapped.tools), ""):
        if any(env.step(turn)[2:4]):
            break
    env.close()
    assert Clip.written == ["rl-video-episode-0.mp4"]


@every_environment
def test_frames_are_collected(env_id: str) -> None:
    env = gymnasium.make(env_id, **NEEDED.get(env_id, {}), render_mode="rgb_array_list")
    env.reset(seed=0)
    env.step(example_turns(env.unwrapped.tools)[0])
    frames: Any = env.render()
    assert [frame.shape for frame in frames] == [(720, 1280, 3)] * 2
    assert (frames[0] != frames[1]).any()
    env.close()


@every_environment
def test_gymnasiums_checker_has_nothing_to_say_in_any_render_mode(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(env_id))
