"""Environments go to other processes with their tools and the moment that they are at."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import gymnasium
import pytest

import axpo_envs  # noqa: F401 - registers the environments
from axpo_envs.conformance._travel import check_travel
from axpo_envs.examples import call_turn
from axpo_envs.suite.tool_task.env import ToolTask
from axpo_envs.tools import tool

QUESTIONS = [{"id": "q", "prompt": "?", "answer": "6"}]


@tool
def double(n: int) -> int:
    """Doubles."""
    return 2 * n


def make_local_env() -> ToolTask:
    factor = 3

    @tool(timeout_s=60.0)
    def multiply(n: int) -> int:
        """Multiplies."""
        return factor * n

    return ToolTask(questions=QUESTIONS, tools=[double, multiply], reward=lambda question, answer, state: 0.5)


def test_visual_zoom_pickles_and_goes_on() -> None:
    env: Any = gymnasium.make("axpo/VisualZoom-v0", image_size=128).unwrapped
    env.reset(seed=3)
    copy = pickle.loads(pickle.dumps(env))
    assert copy.state == env.state
    assert copy.reset()[0]["text"] == env.reset()[0]["text"]
    check_travel(env, (call_turn("image_zoom_in", {"label": "x", "bbox_2d": [0, 0, 500, 500]}), ""), seed=0)


def test_tools_and_rewards_without_a_name_travel_by_cloudpickle() -> None:
    env = make_local_env()
    check_travel(env, (call_turn("multiply", {"n": 2}), "<answer>6</answer>"), seed=0)
    copy = pickle.loads(cloudpickle.dumps(env))
    copy.reset(seed=0)
    assert "\n6\n" in copy.step(call_turn("multiply", {"n": 2}))[0]["text"]
    assert "\n4\n" in copy.step(call_turn("double", {"n": 2}))[0]["text"]
    assert copy.step("<answer>6</answer>")[1] == 0.5


def test_plain_pickle_says_what_it_cannot_take() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError), match="make_local_env"):
        pickle.dumps(make_local_env())


def test_a_tool_task_travels_with_its_moment() -> None:
    env = ToolTask(questions=QUESTIONS, tools=[double])
    env.truncates_faults = True
    env.reset(seed=5)
    env.step(call_turn("double", {"n": 2}))
    copy = pickle.loads(pickle.dumps(env))
    assert (copy.state, copy.truncates_faults) == (env.state, True)
    env.reset()
    copy.reset()
    assert copy.state == env.state
