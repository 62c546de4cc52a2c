from __future__ import annotations

import dataclasses

import gymnasium
import pytest

import axpo_envs  # noqa: F401  (registers the environments)
from axpo.algorithm.types import Group
from axpo_agents import roll_agent
from axpo_agents.types import Rollout
from axpo_benchmarks.failures import SHOWING, Failure, failure_of, failure_shares, shown_sign
from axpo_envs.suite.visual_zoom.env import VisualZoom
from axpo_envs.types import EpisodeState


class Says:
    """An agent that says what it was given, turn by turn."""

    def __init__(self, *turns: str) -> None:
        self._turns = turns

    def act(self, observation: object, state: EpisodeState) -> str:
        del observation
        return self._turns[len(state.turns)]


@pytest.fixture(scope="module")
def env() -> VisualZoom:
    made = gymnasium.make("axpo/VisualZoom-v0").unwrapped
    assert isinstance(made, VisualZoom)
    return made


def zoom(*box: float) -> str:
    numbers = ", ".join(str(round(number)) for number in box)
    call = f'{{"name": "image_zoom_in", "arguments": {{"bbox_2d": [{numbers}]}}}}'
    return f"<think>look</think><tool_call>{call}</tool_call>"


def rollout(env: VisualZoom, *turns: str) -> Rollout:
    return roll_agent(Says(*turns), env, [env.begin(env.questions.question(0))])[0]


def around(env: VisualZoom, half: float) -> str:
    """A zoom of the asked sign, with so many thousandths to each side."""
    question = env.questions.question(0)
    scene = env.scene_of(question)
    (sign,) = (sign for sign in scene.signs if sign.colour in question.text)
    x, y = 1000 * sign.ink_x / scene.layout.width, 1000 * sign.ink_y / scene.layout.height
    return zoom(max(0, x - half), max(0, y - half), min(1000, x + half), min(1000, y + half))


WRONG = "<think>so</think><answer>?</answer>"


def test_the_first_thing_that_went_wrong_is_told(env: VisualZoom) -> None:
    question = env.questions.question(0)
    near, whole = around(env, 100), zoom(0, 0, 1000, 1000)
    far = around(env, 1)
    cases = {
        Failure.NO_CALL: (WRONG,),
        Failure.NOT_FOUND: (far, WRONG),
        Failure.ILLEGIBLE: (whole, WRONG),
        Failure.MISREAD: (whole, near, WRONG),
        Failure.NO_ANSWER: (near, "<think>hm</think>"),
    }
    assert set(cases) == set(Failure)
    for kind, turns in cases.items():
        assert failure_of(rollout(env, *turns), question, env, shown_sign) is kind, kind


def test_a_call_that_could_not_be_read_shows_nothing(env: VisualZoom) -> None:
    broken = rollout(env, "<tool_call>{</tool_call>", WRONG)
    assert failure_of(broken, env.questions.question(0), env, shown_sign) is Failure.NOT_FOUND


def test_shares_are_over_the_failed_rollouts_and_sum_to_one(env: VisualZoom) -> None:
    question = env.questions.question(0)
    right = f"<think>so</think><answer>{question.answer}</answer>"
    rollouts = [rollout(env, *turns) for turns in ((WRONG,), (WRONG,), (around(env, 100), WRONG), (right,))]
    group = Group(question=question, rollouts=tuple(rollouts))
    shares = {name: one.value for name, one in failure_shares([group], env, shown_sign).items() if one is not None}
    expected = dict.fromkeys((kind.value for kind in Failure), 0.0)
    assert shares == expected | {"failed_without_a_call": 2 / 3, "failed_at_reading": 1 / 3}
    solved = dataclasses.replace(group, rollouts=tuple(rollouts[3:]))
    assert set(failure_shares([solved], env, shown_sign).values()) == {None}


def test_every_family_tells_of_what_its_failures_are_made() -> None:
    assert set(SHOWING) == {"visual-zoom", "multi-hop-search", "python-reasoning"}
