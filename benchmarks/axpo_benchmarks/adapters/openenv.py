"""Checks of the OpenEnv adapter against the installed library: its server, its client, over a real socket."""

from __future__ import annotations

import base64
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import uvicorn
from openenv.core.env_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State
from openenv.core.generic_client import GenericEnvClient

from axpo_agents.rolling import roll_agent
from axpo_benchmarks.adapters.toys import CALL, FAULTY, raises, signs, sums, zoom
from axpo_envs import EnvConfigError, call_turn
from axpo_envs.adapters.openenv import openenv_app, openenv_env
from axpo_envs.adapters.sessions import RewindFault
from axpo_envs.images import ImageRef
from axpo_envs.testing import check_tool_env


class _Guess(Action):  # type: ignore[misc]
    number: int


class _Hint(Observation):  # type: ignore[misc]
    text: str


class _Guessing(Environment):  # type: ignore[misc]
    """Someone else's environment: a number is to be guessed; `noisy` shows something new at each guess."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, noisy: bool = False) -> None:
        super().__init__()
        self._noisy, self._number, self._count = noisy, 0, 0

    def reset(self, seed: int | None = None, **_: Any) -> _Hint:
        self._number, self._count = random.Random(seed).randrange(1, 100), 0
        return _Hint(text=f"Guess a number from 1 to 99, episode {seed}.")

    def step(self, action: _Guess, **_: Any) -> _Hint:
        self._count += 1
        if action.number == 1000:
            raise RuntimeError("the guesser broke down")
        if action.number == self._number:
            return _Hint(text="Right.", reward=1.0, done=True)
        noise = f" {time.perf_counter_ns()}" if self._noisy else ""
        return _Hint(text=("higher" if action.number < self._number else "lower") + noise, reward=-0.01)

    @property
    def state(self) -> State:
        return State(step_count=self._count)


@contextmanager
def _served(app: Any) -> Iterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def our_environment_answers_its_client() -> None:
    """A call, its result, the answer and its reward; the reference answer is not told."""
    with _served(openenv_app(sums())) as url, GenericEnvClient(base_url=url).sync() as client:
        first = client.reset(index=1)
        assert first.observation["text"] == "What is 1 + 2?", first
        assert first.observation["tools"][0]["function"]["name"] == "add", first
        second = client.step({"text": CALL})
        assert "3" in second.observation["text"], second
        assert not second.done, second
        assert second.reward is None, second
        last = client.step({"text": "<answer>3</answer>"})
        assert last.done, last
        assert last.reward == 1.0, last
        assert client.state()["step_count"] == 2


def images_cross_the_wire_losslessly() -> None:
    """The question's view and a crop, pixel by pixel."""
    env = signs()
    begun = env.begin(env.questions.question(3))
    with _served(openenv_app(env)) as url, GenericEnvClient(base_url=url).sync() as client:
        first = client.reset(index=3)
        second = client.step({"text": zoom()})
    crop = env.advance(begun, zoom()).observation
    for shown, parts in ((first, env.opening(begun)), (second, crop)):
        sent = [ImageRef.from_bytes(base64.b64decode(url.partition(",")[2])) for url in shown.observation["images"]]
        assert sent == [part for part in parts if isinstance(part, ImageRef)]


def a_fault_has_no_reward_and_the_turn_may_be_taken_again() -> None:
    """The server reports an error, no observation."""
    with _served(openenv_app(sums())) as url, GenericEnvClient(base_url=url).sync() as client:
        client.reset(index=1)
        with raises(RuntimeError, "EXECUTION_ERROR"):
            client.step({"text": FAULTY})
        assert client.step({"text": "<answer>3</answer>"}).reward == 1.0


def two_episodes_at_a_time_do_not_meet() -> None:
    """Every connection has its own."""
    with (
        _served(openenv_app(sums())) as url,
        GenericEnvClient(base_url=url).sync() as one,
        GenericEnvClient(base_url=url).sync() as other,
    ):
        one.reset(index=0)
        other.reset(index=1)
        assert one.step({"text": "<answer>2</answer>"}).reward == 1.0
        assert other.step({"text": "<answer>3</answer>"}).reward == 1.0


class _Halving:
    """Guesses by halves."""

    def act(self, observation: Mapping[str, Any], state: Any) -> str:
        del observation
        low, high = 1, 99
        for turn in state.turns:
            for record in turn.calls:
                guess = int(record.call.arguments.split(":")[1].strip(" }"))
                told = record.result.content[0]
                if told.startswith("Right"):
                    return "<answer>done</answer>"
                low, high = (guess + 1, high) if told.startswith("higher") else (low, guess - 1)
        return call_turn("act", {"number": (low + high) // 2})


def _guessing_app(*, noisy: bool = False, sessions: int | None = None) -> Any:
    return create_app(lambda: _Guessing(noisy), _Guess, _Hint, env_name="guessing", max_concurrent_envs=sessions)


def its_environment_is_played_and_branched_by_replay() -> None:
    """Rewards are added up; a moment is gone on with twice, and both futures are right."""
    with _served(_guessing_app()) as url:
        env = openenv_env(url, episodes=4, deterministic=True)
        starts = [env.begin(env.questions.question(number)) for number in range(4)]
        for rollout in roll_agent(_Halving(), env, starts):
            calls = len(rollout.episode.calls)
            assert np.isclose(rollout.reward, 1.0 - 0.01 * (calls - 1)), rollout.episode
        state = env.advance(starts[0], call_turn("act", {"number": 1})).state
        left, right = (env.advance(state, call_turn("act", {"number": n})).state for n in (40, 60))
        again = env.advance(state, call_turn("act", {"number": 40})).state
        assert left.digest == again.digest != right.digest
        told = [env.advance(starts[0], call_turn("act", {"number": "x"})).state.turns[-1].calls[0].result.status]
        assert told == ["error"], told
        env.tools[0].close()  # type: ignore[attr-defined]


def its_environment_passes_our_conformance_kit() -> None:
    """`check_tool_env` holds the replayed environment to every invariant."""
    with _served(_guessing_app(sessions=16)) as url:
        env = openenv_env(url, episodes=3, deterministic=True, sessions=4)
        check_tool_env(env, fuzz=20)
        env.tools[0].close()  # type: ignore[attr-defined]


def what_is_not_deterministic_is_told() -> None:
    """A replay that shows something else is a fault; without the declaration nothing is replayed."""
    for deterministic in (True, False):
        with _served(_guessing_app(noisy=True)) as url:
            env = openenv_env(url, episodes=1, deterministic=deterministic)
            begun = env.begin(env.questions.question(0))
            state = env.advance(begun, call_turn("act", {"number": 1})).state
            env.advance(state, call_turn("act", {"number": 40}))
            with raises(RewindFault):
                env.advance(state, call_turn("act", {"number": 60}))
            env.tools[0].close()  # type: ignore[attr-defined]


def a_server_that_is_gone_is_a_configuration_error() -> None:
    """Before any episode."""
    with raises(EnvConfigError):
        openenv_env("http://127.0.0.1:9", episodes=1)


CHECKS: Final[tuple[Callable[[], None], ...]] = (
    our_environment_answers_its_client,
    images_cross_the_wire_losslessly,
    a_fault_has_no_reward_and_the_turn_may_be_taken_again,
    two_episodes_at_a_time_do_not_meet,
    its_environment_is_played_and_branched_by_replay,
    its_environment_passes_our_conformance_kit,
    what_is_not_deterministic_is_told,
    a_server_that_is_gone_is_a_configuration_error,
)
"""What is tried, in order."""
