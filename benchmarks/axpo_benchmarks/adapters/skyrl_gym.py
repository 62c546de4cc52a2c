"""Checks of the SkyRL-gym adapter against the installed library: its registry, and episodes made by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import skyrl_gym
from skyrl_gym.envs.base_text_env import BaseTextEnv

from axpo_benchmarks.adapters.toys import CALL, FAULTY, raises, signs, sums, zoom
from axpo_envs import InfrastructureFault, ToolEnv
from axpo_envs.adapters.skyrl_gym import register_skyrl, skyrl_rows


def _made(name: str, env: ToolEnv, index: int) -> tuple[Any, dict[str, Any]]:
    if name not in skyrl_gym.envs.registration.registry:
        register_skyrl(name, env)
    row = skyrl_rows(env, name, 1, first=index)[0]
    return skyrl_gym.make(row["env_class"], env_config={}, extras=row), row


def an_episode_is_made_by_name_and_played() -> None:
    """A call, its result, the answer and its reward."""
    env, row = _made("axpo_sums", sums(), 1)
    assert isinstance(env, BaseTextEnv)
    prompt, _ = env.init(row["prompt"])
    assert prompt[-1] == {"role": "user", "content": "What is 1 + 2?"}, prompt
    assert "<tools>" in prompt[0]["content"], prompt
    first = env.step(CALL)
    assert first["observations"][0]["role"] == "user", first
    assert "<tool_response>\n3\n</tool_response>" in first["observations"][0]["content"], first
    assert not first["done"], first
    last = env.step("<answer>3</answer>")
    assert (last["done"], last["reward"], last["observations"]) == (True, 1.0, []), last
    assert env.get_metrics() == {"calls": 1, "calls_succeeded": 1, "correct": 1.0}
    assert BaseTextEnv.aggregate_metrics([env.get_metrics()])["correct"] == 1.0


def images_stay_in_the_messages() -> None:
    """Those of the question and of results."""
    env, row = _made("axpo_signs", signs(), 3)
    assert any(part["type"] == "image_url" for part in row["prompt"][-1]["content"])
    content = env.step(zoom())["observations"][0]["content"]
    assert any(part["type"] == "image_url" for part in content), content


def a_fault_is_raised_and_the_turn_may_be_taken_again() -> None:
    """No step has a reward for it."""
    env, _ = _made("axpo_sums", sums(), 1)
    with raises(InfrastructureFault, "down"):
        env.step(FAULTY)
    assert env.step("<answer>3</answer>")["reward"] == 1.0


CHECKS: Final[tuple[Callable[[], None], ...]] = (
    an_episode_is_made_by_name_and_played,
    images_stay_in_the_messages,
    a_fault_is_raised_and_the_turn_may_be_taken_again,
)
"""What is tried, in order."""
