"""Tool environments with fixed spaces: what is seen, what may be done, and that moments come back exactly."""

from __future__ import annotations

import json
import pickle
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, InfrastructureFault, Question, Snapshot
from axpo_envs.adapters.sb3 import Calls, FixedSpaces, TextFeatures, Turns, ZoomGrid
from axpo_envs.examples import call_turn
from axpo_envs.suite.tool_task import ToolTask
from axpo_envs.suite.visual_zoom import VisualZoom
from axpo_envs.tools import tool

DIGITS = "0123456789"
ROWS = [
    {"id": "a", "prompt": "Which letter stands behind door 1?", "answer": "x"},
    {"id": "b", "prompt": "Which letter stands behind door 2?", "answer": "y", "options": ["x", "y"]},
]


@tool
def look(door: Literal[1, 2], loud: bool) -> str:
    """Looks behind a door."""
    return f"{'xy'[door - 1]} is there{'!' if loud else ''}"


@tool
def search(query: str) -> str:
    """Searches."""
    if query == "server":
        raise InfrastructureFault("the server is gone")
    return query


def zoom_env(actions: Literal["discrete", "multi"] = "discrete", **knobs: Any) -> FixedSpaces:
    return FixedSpaces(gymnasium.make("axpo/VisualZoom-v0", **knobs), answers=DIGITS, actions=actions)


def doors(**settings: Any) -> FixedSpaces:
    env = ToolTask(questions=ROWS, tools=[look])
    return FixedSpaces(env, answers=settings.pop("answers", "xy"), image_size=None, **settings)


def test_observations_show_the_image_the_zoom_and_the_words() -> None:
    env = zoom_env()
    observation, _ = env.reset(seed=3)
    assert observation in env.observation_space
    assert observation["zoom"].tolist() == [0, 0, 1, 1]
    view = env.unwrapped.observe(env.unwrapped.state)["images"][0]
    assert (observation["image"] == view).all()
    # The middle of three parts across and of three down, half as wide and high.
    observation, *_ = env.step(4)
    assert observation["zoom"].tolist() == [0.25, 0.25, 0.75, 0.75]
    assert (observation["image"] != view).any()
    assert observation["turn"].tolist() == [0.25]
    # The first part of what is seen, a quarter of the whole.
    observation, *_ = env.step(0)
    assert observation["zoom"].tolist() == [0.25, 0.25, 0.5, 0.5]


def test_the_crop_of_a_zoom_is_that_of_the_same_box_by_hand() -> None:
    env, plain = zoom_env(), VisualZoom()
    env.reset(seed=5)
    plain.reset(seed=5)
    env.step(2)
    observation, *_ = env.step(6)
    shown, *_ = plain.step(call_turn("image_zoom_in", {"bbox_2d": [500, 250, 750, 500]}))
    assert (observation["image"] == shown["images"][0]).all()


@pytest.mark.parametrize("coords", ["rel1000", "abs_resized", "abs_original", "norm1"])
def test_zooms_stand_where_they_should_in_every_convention(coords: str) -> None:
    env = zoom_env(coords=coords)
    env.reset(seed=5)
    observation, *_ = env.step(8)
    assert observation["zoom"] == pytest.approx([0.5, 0.5, 1, 1])


def test_a_zoom_into_a_crop_and_one_that_is_no_crop_of_the_image_are_told_apart() -> None:
    env = zoom_env()
    env.reset(seed=5)
    env.env.step(call_turn("image_zoom_in", {"bbox_2d": [500, 500, 1000, 1000]}))
    env.env.step(call_turn("image_zoom_in", {"bbox_2d": [0, 0, 500, 1000], "img_idx": 1}))
    assert env.observe()["zoom"] == pytest.approx([0.5, 0.5, 0.75, 1])
    # A call that fails shows nothing: the zoom stays where it was.
    env.env.step(call_turn("image_zoom_in", {"bbox_2d": [9, 9, 9, 9]}))
    assert env.observe()["zoom"] == pytest.approx([0.5, 0.5, 0.75, 1])


def test_wide_images_are_seen_whole_on_grey() -> None:
    pixels = np.zeros((10, 40, 3), np.uint8)
    row = {"id": "wide", "prompt": "<image>What?", "answer": "1", "images": [pixels]}
    env = FixedSpaces(ToolTask(questions=[row], tools=["image_zoom_in"], view_size=40), answers="1", image_size=40)
    observation, _ = env.reset(seed=0)
    assert observation["image"][:, 0, 0].tolist() == [128] * 15 + [0] * 10 + [128] * 15
    assert env.action_masks().tolist() == [True] * 10


def test_numbers_are_calls_first_and_answers_last() -> None:
    env = doors()
    env.reset(seed=0, options={"index": 0})
    turns = [env.turn_of(number) for number in range(env.action_space.n)]
    calls = [call_turn("look", {"door": door, "loud": loud}) for door in (1, 2) for loud in (False, True)]
    assert turns == [*calls, "<answer>x</answer>", "<answer>y</answer>"]
    with pytest.raises(ValueError, match="expected an action below 6"):
        env.turn_of(6)
    _, reward, terminated, truncated, info = env.step(0)
    assert (reward, terminated, truncated, "is_success" in info) == (0, False, False, False)
    *_, reward, terminated, truncated, info = env.step(4)
    assert (reward, terminated, info["is_success"]) == (1, True, True)


def test_kinds_and_their_numbers_are_separate_in_multi() -> None:
    env = doors(actions="multi")
    env.reset(seed=0)
    assert env.action_space.nvec.tolist() == [2, 4, 2]
    assert env.turn_of(np.array([0, 3, 0])) == call_turn("look", {"door": 2, "loud": True})
    assert env.turn_of(np.array([1, 3, 1])) == "<answer>y</answer>"


def test_masks_leave_out_options_that_there_are_not_and_calls_after_the_last_turn() -> None:
    env, multi = doors(answers="ABC"), doors(answers="ABC", actions="multi")
    for number, one in enumerate((env, multi)):
        one.reset(seed=0, options={"index": 1})
        assert number or one.action_masks().tolist() == [True] * 6 + [False]
    for _ in range(3):
        env.step(0)
        multi.step(np.array([0, 0, 0]))
    assert env.action_masks().tolist() == [False] * 4 + [True, True, False]
    # Of calls, which are not allowed, the number does not matter.
    assert multi.action_masks().tolist() == [False, True, *[True] * 4, True, True, False]


def test_masked_actions_are_bad_turns_and_not_errors() -> None:
    env = doors()
    env.reset(seed=0)
    for _ in range(3):
        assert not env.step(0)[3]
    observation, reward, terminated, truncated, _ = env.step(0)
    # Scored, and therefore no end whose future anybody should guess.
    assert (reward, terminated, truncated) == (0, True, False)
    assert observation in env.observation_space


def test_a_time_limit_within_still_truncates() -> None:
    env = FixedSpaces(
        gymnasium.wrappers.TimeLimit(ToolTask(questions=ROWS, tools=[look]), 1), answers="xy", image_size=None
    )
    env.reset(seed=0)
    *_, terminated, truncated, _ = env.step(0)
    assert (terminated, truncated) == (False, True)


def test_turns_of_a_function_follow_the_state() -> None:
    def repeat(state: Any) -> list[str]:
        words = state.question.text.split() if not state.turns else []
        return [call_turn("search", {"query": word}) for word in words[:2]]

    env = FixedSpaces(
        ToolTask(questions=ROWS, tools=[search]),
        answers="x",
        choices=[Turns(repeat, size=3, calls_tool=True)],
        image_size=None,
    )
    env.reset(seed=0)
    assert env.action_masks().tolist() == [True, True, False, True]
    assert env.turn_of(1) == call_turn("search", {"query": "letter"})
    assert env.turn_of(2) == ""
    env.step(0)
    assert env.action_masks().tolist() == [False, False, False, True]


def test_words_have_places_of_their_own_or_hashed_ones() -> None:
    exact = TextFeatures(words=("red", "Green"))
    assert exact("Red, a GREEN one. red").tolist() == [1, 1]
    assert exact("blue").tolist() == [0, 0]
    hashed = TextFeatures(8)
    assert (hashed("the door") == hashed("Door? The!")).all()
    assert hashed("").sum() == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FixedSpaces(ToolTask(questions=ROWS, tools=[search]), answers="x"), "list the calls to choose from"),
        (lambda: doors(answers=""), "expected at least one text"),
        (lambda: Calls("look", []), "expected at least one set of arguments"),
        (lambda: FixedSpaces(ToolTask(questions=ROWS), answers="x", image_size=20), "at least 36 pixels"),
        (lambda: doors(actions="both"), "expected 'discrete' or 'multi'"),
        (lambda: ZoomGrid(VisualZoom(), cells=3, width=0.3), "cells \\* width >= 1"),
        (lambda: ZoomGrid(ToolTask(questions=ROWS)), "expected an environment with the tool image_zoom_in"),
        (lambda: Turns(lambda _: [], size=0, calls_tool=False), "size >= 1"),
        (lambda: TextFeatures(words=("a", "A")), "different words"),
        (lambda: TextFeatures(0), "size >= 1"),
    ],
)
def test_what_cannot_work_is_refused_before_any_episode(make: Any, message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        make()


def test_what_is_no_tool_environment_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a ToolEnv; got CartPoleEnv"):
        FixedSpaces(gymnasium.make("CartPole-v1"), answers="x")


def test_a_fault_that_is_reported_ends_the_episode_with_no_reward() -> None:
    env = FixedSpaces(
        ToolTask(questions=ROWS, tools=[search]),
        answers="x",
        choices=[Calls("search", [{"query": "server"}])],
        image_size=None,
    )
    env.reset(seed=0)
    with pytest.raises(InfrastructureFault):
        env.step(0)
    env.unwrapped.truncates_faults = True
    observation, reward, _, truncated, info = env.step(0)
    assert observation in env.observation_space
    assert (np.isnan(reward), truncated, info["fault"]) == (True, True, "the server is gone")


@pytest.mark.parametrize("actions", ["discrete", "multi"])
def test_a_fault_that_keeps_an_episode_from_beginning_is_told_by_its_first_step(actions: Any) -> None:
    broken = True

    def connect(question: Question) -> tuple[()]:
        if broken:
            raise InfrastructureFault("the server is gone")
        return ()

    @tool(initial_state=connect)
    def ask(state: tuple[()]) -> tuple[str, tuple[()]]:
        """Asks."""
        return "yes", state

    env = FixedSpaces(ToolTask(questions=ROWS, tools=[ask]), answers="xy", image_size=None, actions=actions)
    env.unwrapped.truncates_faults = True
    observation, info = env.reset(seed=0)
    assert observation in env.observation_space
    assert info == {"fault": "the server is gone"}
    assert env.action_masks().all()
    observation, reward, _, truncated, info = env.step(env.action_space.sample())
    assert observation in env.observation_space
    assert (np.isnan(reward), truncated, info) == (True, True, {"fault": "the server is gone"})
    broken = False
    env.reset(seed=0)
    assert not env.step(np.array([0, 0, 0]) if actions == "multi" else 0)[3]


def test_vectors_of_processes_carry_its_arrays() -> None:
    vector = gymnasium.vector.AsyncVectorEnv([lambda: zoom_env(image_size=96)] * 2)
    try:
        observation, _ = vector.reset(seed=3)
        alone = zoom_env(image_size=96)
        assert (observation["image"][1] == alone.reset(seed=4)[0]["image"]).all()
        observation, *_ = vector.step(np.array([0, 4]))
        assert (observation["image"][1] == alone.step(4)[0]["image"]).all()
    finally:
        vector.close()


def same(one: Any, other: Any) -> bool:
    return set(one) == set(other) and all((one[key] == other[key]).all() for key in one)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    before=st.lists(st.integers(0, 18), max_size=3),
    branches=st.lists(st.lists(st.integers(0, 18), min_size=1, max_size=4), min_size=1, max_size=3),
    travels=st.booleans(),
)
def test_every_branch_of_a_moment_sees_what_it_would_have_seen_alone(
    seed: int, before: list[int], branches: list[list[int]], travels: bool
) -> None:
    env = zoom_env()
    env.reset(seed=seed)
    before = [action for action in before if action < 9]
    for action in before:
        env.step(action)
    moment, seen = env.snapshot(), env.observe()
    if travels:
        moment = Snapshot.from_bytes(moment.to_bytes())
    for branch in branches:
        alone = zoom_env()
        alone.reset(seed=seed)
        for action in before:
            alone.step(action)
        env.restore(moment)
        assert same(env.observe(), seen)
        for action in branch:
            ours, theirs = env.step(action), alone.step(action)
            assert same(ours[0], theirs[0])
            assert ours[1:] == theirs[1:]
            assert (env.action_masks() == alone.action_masks()).all()
            if ours[2] or ours[3]:
                break


def test_it_is_pickled_and_made_again_from_its_spec() -> None:
    env = zoom_env(image_size=100)
    env.reset(seed=1)
    env.step(3)
    copy = pickle.loads(pickle.dumps(env))
    assert same(copy.observe(), env.observe())
    assert env.spec is not None
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, FixedSpaces)
    assert again.unwrapped.settings == env.unwrapped.settings
    assert same(again.reset(seed=1)[0], env.reset(seed=1)[0])
    assert json.loads(env.spec.to_json())["additional_wrappers"]
