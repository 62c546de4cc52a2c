"""Turns that are taken elsewhere: equal to those taken here, lost workers, what travels, what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

from axpo_envs import EpisodeState, ListQuestions, Question, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.errors import EnvConfigError, InfrastructureFault, ToolFault
from axpo_envs.outposts import LocalWorker, WorkerLost, Workforce, answer_of, env_order, order, outposted
from axpo_envs.rewards import ExactMatch
from axpo_envs.tools import tool
from axpo_envs.types import CallRecord, StopReason

ZOOM = call_turn("image_zoom_in", {"label": "sign", "bbox_2d": [0, 0, 500, 500]})


@tool
def divide(a: int, b: int) -> float:
    """Divides.

    Args:
        a: what is divided.
        b: by what; 0 is a fault of the tool, 1 of the machinery.
    """
    if b == 1:
        raise InfrastructureFault("the divider is down")
    return a / b


@tool(effects="external")
def publish(text: str) -> str:
    """Publishes a text."""
    return f"published {text}"


def signs() -> ToolEnv:
    env = gymnasium.make("axpo/VisualZoom-v0", image_size=96, view_size=32).unwrapped
    assert isinstance(env, ToolEnv)
    return env


def sums(*tools: Any, **settings: Any) -> ToolEnv:
    questions = ListQuestions([Question(id="q", prompt=("6 / 2?",), answer="3")])
    spec = ToolEnvSpec(
        env_id="t/Sums-v0", questions=questions, tools=tools or (divide,), reward=ExactMatch(), **settings
    )
    return ToolEnv(spec)


def away(env: ToolEnv, *, seats: int = 2, hire: Callable[[bytes], LocalWorker] = LocalWorker) -> tuple[Any, Workforce]:
    ordered = env_order({"env": env})
    workers = Workforce(lambda: hire(ordered), seats)
    return outposted(env, "env", workers), workers


def timeless(state: EpisodeState) -> Any:
    """What the clock does not decide."""
    return state.digest, state.tool_states, state.stop, state.reward, [turn.observation for turn in state.turns]


def test_episodes_elsewhere_are_those_here() -> None:
    here = signs()
    there, _ = away(here)
    first = here.begin(here.questions.question(3), seed=7)
    for turns in ((ZOOM, ZOOM, "<answer>A</answer>"), ("no answer",), (ZOOM,) * 5):
        own, other = first, first
        for text in turns:
            one, two = here.advance(own, text), there.advance(other, text)
            assert (one.reward, one.terminated, one.truncated) == (two.reward, two.terminated, two.truncated)
            assert one.observation == two.observation
            own, other = one.state, two.state
            assert timeless(own) == timeless(other)
            if own.stop is not None:
                break
    assert there.advance(first, ZOOM, cut_off=True).state.stop is StopReason.MAX_TOKENS
    assert here.snapshot_of(first) == there.snapshot_of(first)


def test_a_worker_that_has_a_moment_is_told_its_digest_alone() -> None:
    sent: list[bool] = []

    class Watched(LocalWorker):
        def ask(self, method: str, *given: Any) -> bytes:
            sent.append(given[2] is not None)
            return super().ask(method, *given)

    env, _ = away(signs(), hire=Watched)
    state = env.begin(env.questions.question(0))
    for _ in range(3):
        state = env.advance(state, ZOOM).state
    assert sent == [True, False, False]


def test_a_lost_worker_costs_one_turn_and_is_replaced() -> None:
    hired: list[LocalWorker] = []

    def hire(ordered: bytes) -> LocalWorker:
        hired.append(LocalWorker(ordered))
        return hired[-1]

    env, workers = away(signs(), seats=1, hire=hire)
    state = env.advance(env.begin(env.questions.question(0)), ZOOM).state
    after = env.advance(state, ZOOM).state
    hired[0].end()
    with pytest.raises(WorkerLost):
        env.advance(state, ZOOM)
    # The new one does not have the moment, and is sent it.
    assert timeless(env.advance(state, ZOOM).state) == timeless(after)
    assert (workers.lost, len(hired)) == (1, 2)


def test_a_worker_that_died_idle_is_noticed_before_a_call_with_external_effects() -> None:
    asked: list[str] = []

    class Gone(LocalWorker):
        def ask(self, method: str, *given: Any) -> bytes:
            asked.append(method)
            raise WorkerLost("gone")

    env, _ = away(sums(publish), hire=Gone)
    with pytest.raises(WorkerLost):
        env.advance(env.begin(env.questions.question(0)), call_turn("publish", {"text": "x"}))
    assert asked == ["ready"]


def test_faults_keep_their_kind() -> None:
    env, _ = away(sums())
    state = env.begin(env.questions.question(0))
    with pytest.raises(ToolFault, match="divide"):
        env.advance(state, call_turn("divide", {"a": 1, "b": 0}))
    with pytest.raises(InfrastructureFault, match="down") as told:
        env.advance(state, call_turn("divide", {"a": 1, "b": 1}))
    assert not isinstance(told.value, WorkerLost)
    with pytest.raises(TypeError, match="as str"):
        env.advance(state, 3)


def test_the_audit_is_told_here_and_gates_come_before() -> None:
    told: list[CallRecord] = []
    env, _ = away(sums(audit=lambda _, record: told.append(record)))
    env.advance(env.begin(env.questions.question(0)), call_turn("divide", {"a": 6, "b": 2}))
    assert [record.result.content for record in told] == [("3.0",)]
    with pytest.raises(EnvConfigError, match="gates before"):
        env.gated(lambda request: None)


def test_what_cannot_be_sent_is_refused_at_once() -> None:
    lock = threading.Lock()
    with pytest.raises(EnvConfigError, match="cannot be sent"):
        env_order({"env": sums(gate=lambda _: lock)})


def test_failing_to_make_a_workers_object_is_an_answer() -> None:
    ordered = order(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        answer_of(LocalWorker(ordered).ask("ready"))
    with pytest.raises(ZeroDivisionError):
        Workforce(lambda: LocalWorker(ordered), 2).start("ready", within_s=60.0)
