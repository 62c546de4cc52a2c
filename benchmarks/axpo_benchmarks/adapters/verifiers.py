"""Checks of the verifiers adapter against the installed library: its loaders, its episodes, its traces, over HTTP."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import gymnasium
import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_environment, resolve_env_config

from axpo_agents.rolling import roll_agent
from axpo_benchmarks.adapters.toys import CALL, FAULTY, raises, sums, zoom
from axpo_envs import EnvConfigError, call_turn
from axpo_envs.adapters.sessions import RewindFault
from axpo_envs.adapters.verifiers import verifiers_env

gymnasium.register("bench/VerifiersSums-v0", entry_point=lambda **_: sums(), order_enforce=False)

_OURS: Final = """
from axpo_envs.adapters.verifiers import ToolEnvTaskset, TurnHarness, TurnsEnv

__all__ = ["ToolEnvTaskset", "TurnHarness", "TurnsEnv"]
"""
_THEIRS: Final = '''
"""Someone else's environment: a number is to be guessed; `noisy` shows something new at each guess."""
import random
import time

import verifiers.v1 as vf

__all__ = ["GuessingEnv", "GuessingTaskset"]


class GuessingConfig(vf.TasksetConfig):
    noisy: bool = False
    broken: bool = False


class GuessingData(vf.TaskData):
    number: int


class GuessingTask(vf.Task[GuessingData]):
    pass


class GuessingTaskset(vf.Taskset[GuessingTask, GuessingConfig]):
    def load(self):
        for index in range(6):
            prompt = f"Guess a number from 1 to 99, game {index}."
            data = GuessingData(prompt=prompt, system_prompt="Reply with a number.", number=7 * index + 13)
            yield GuessingTask(data, self.config.task)


class GuessingEnvConfig(vf.EnvConfig):
    player: vf.AgentConfig = vf.AgentConfig()


class GuessingEnv(vf.Env[GuessingEnvConfig]):
    async def run(self, task, agents):
        config, total = self.taskset.config, 0.0
        async with agents.player.interaction(task) as interaction:
            segment = await interaction.turn()
            while not segment.terminated:
                if config.broken:
                    raise RuntimeError("the guesser broke down")
                guess = int(segment.last_reply) if segment.last_reply.isdigit() else -1
                if guess == task.data.number:
                    total += 1.0
                    break
                total -= 0.01
                told = "higher" if guess < task.data.number else "lower"
                noise = f" {time.perf_counter_ns()}" if config.noisy else ""
                segment = await interaction.turn(told + noise)
        interaction.trace.record_reward("guessed", total)
'''


@contextmanager
def _plugins() -> Iterator[None]:
    """Modules that verifiers finds by name."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("bench_ours", _OURS), ("bench_guessing", _THEIRS)):
            (Path(folder) / f"{name}.py").write_text(text, encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)


@contextmanager
def _model(script: Callable[[list[dict[str, Any]]], str]) -> Iterator[str]:
    """A server of OpenAI's interface that says what a script says; its address."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = {"role": "assistant", "content": script(asked["messages"])}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def _played(script: Callable[[list[dict[str, Any]]], str], taskset: Mapping[str, Any], **env: Any) -> list[Any]:
    """Verifiers' episodes of the tasks."""

    async def play(url: str) -> list[Any]:
        made = load_environment(resolve_env_config({"taskset": {"id": "bench_ours", **taskset}, **env}))
        client = vf.EvalClientConfig(base_url=url, api_key_var="NONE")
        context = vf.ModelContext(model="m", client=client)
        async with made.serving():
            slots = [made.slots(task)[0] for task in made.taskset]
            return [await made.run_slot(slot, context) for slot in slots]

    with _plugins(), _model(script) as url:
        return asyncio.run(play(url))


_SUMS: Final = {"env": "bench/VerifiersSums-v0", "questions": 1, "first": 1}


def it_plays_and_scores_our_episodes() -> None:
    """A call, its result as the user's turn, the answer, our reward; the reference answer is told nowhere."""
    seen: list[list[dict[str, Any]]] = []

    def script(messages: list[dict[str, Any]]) -> str:
        seen.append(messages)
        return CALL if messages[-1]["content"] == "What is 1 + 2?" else "<answer>3</answer>"

    (episode,) = _played(script, _SUMS)
    assert episode.ok, episode.errors
    (trace,) = episode.traces
    assert trace.reward == 1.0, trace.rewards
    assert trace.metrics["correct"] == 1.0, trace.metrics
    assert trace.info["stop"] == "answered", trace.info
    assert "<tools>" in seen[0][0]["content"], seen[0]
    assert [message["role"] for message in seen[1]] == ["system", "user", "assistant", "user"]
    assert "<tool_response>\n3\n</tool_response>" in seen[1][-1]["content"], seen[1]


def images_stay_in_the_messages() -> None:
    """Those of the question and of results, and in the trace."""
    counts: list[int] = []

    def script(messages: list[dict[str, Any]]) -> str:
        parts = [part for message in messages for part in message["content"] if isinstance(part, dict)]
        counts.append(sum(part["type"] == "image_url" for part in parts))
        return zoom() if len(counts) == 1 else "<answer>A</answer>"

    arguments = {"image_size": 256, "view_size": 64}
    (episode,) = _played(script, {"env": "axpo/VisualZoom-v0", "env_args": arguments, "questions": 1})
    assert episode.ok, episode.errors
    assert counts == [1, 2], counts


def a_fault_is_an_error_of_the_episode_and_no_reward() -> None:
    """Which verifiers may play again."""
    (episode,) = _played(lambda _: FAULTY, _SUMS)
    assert not episode.ok
    assert "down" in episode.errors[0].message, episode.errors
    assert not any(trace.rewards for trace in episode.traces), episode.traces


def a_limit_of_verifiers_ends_the_episode_as_ours_would() -> None:
    """With `max_turns` 1 nothing was answered: the reward is that of no answer."""
    (episode,) = _played(lambda _: CALL, _SUMS, agent={"max_turns": 1, "runtime": {"type": "subprocess"}})
    (trace,) = episode.traces
    assert (trace.reward, trace.info["stop"]) == (0.0, "max_tokens"), (trace.rewards, trace.info)


class _Halving:
    """Guesses by halves."""

    def act(self, observation: Mapping[str, Any], state: Any) -> str:
        del observation
        low, high = 1, 99
        for turn in state.turns:
            for record in turn.calls:
                guess = int(json.loads(record.call.arguments)["text"])
                told = record.result.content[0]
                if told.startswith("The rollout is over"):
                    return "<answer>done</answer>"
                low, high = (guess + 1, high) if told.startswith("higher") else (low, guess - 1)
        return call_turn("reply", {"text": str((low + high) // 2)})


def _guessing(*, episodes: int = 4, deterministic: bool = True, **taskset: Any) -> Any:
    config = {"taskset": {"id": "bench_guessing", **taskset}}
    return verifiers_env(config, episodes=episodes, deterministic=deterministic, sessions=4, timeout_s=120.0)


def its_environment_is_played_and_branched_by_replay() -> None:
    """Prompts are questions, rewards are its traces'; a moment is gone on with twice, and both futures are right."""
    with _plugins():
        env = _guessing()
        starts = [env.begin(env.questions.question(number)) for number in range(4)]
        assert starts[1].question.prompt == ("Reply with a number.\n\nGuess a number from 1 to 99, game 1.",)
        for rollout in roll_agent(_Halving(), env, starts):
            calls = len(rollout.episode.calls)
            assert abs(rollout.reward - (1.0 - 0.01 * (calls - 1))) < 1e-9, rollout.episode
        state = env.advance(starts[0], call_turn("reply", {"text": "1"})).state
        left, right = (env.advance(state, call_turn("reply", {"text": text})).state for text in ("5", "60"))
        again = env.advance(state, call_turn("reply", {"text": "5"})).state
        assert left.digest == again.digest != right.digest
        env.tools[0].close()


def what_is_not_deterministic_is_told() -> None:
    """A replay that shows something else is a fault; without the declaration nothing is replayed."""
    with _plugins():
        for deterministic in (True, False):
            env = _guessing(episodes=1, deterministic=deterministic, noisy=True)
            assert env.tools[0].rewinds is deterministic
            begun = env.begin(env.questions.question(0))
            state = env.advance(begun, call_turn("reply", {"text": "1"})).state
            env.advance(state, call_turn("reply", {"text": "40"}))
            with raises(RewindFault):
                env.advance(state, call_turn("reply", {"text": "60"}))
            env.tools[0].close()


def a_rollout_that_fails_is_a_fault_and_never_scored() -> None:
    """An error of its environment."""
    with _plugins():
        env = _guessing(episodes=1, broken=True)
        with raises(Exception, "broke down"):
            env.advance(env.begin(env.questions.question(0)), call_turn("reply", {"text": "1"}))
        env.tools[0].close()


def what_is_not_there_is_a_configuration_error() -> None:
    """A taskset that is not installed, and more episodes than tasks."""
    with raises(EnvConfigError, "no_such_taskset"):
        verifiers_env({"taskset": {"id": "no_such_taskset"}}, episodes=1)
    with _plugins(), raises(EnvConfigError, "has 6 tasks"):
        _guessing(episodes=7)


CHECKS: Final[tuple[Callable[[], None], ...]] = (
    it_plays_and_scores_our_episodes,
    images_stay_in_the_messages,
    a_fault_is_an_error_of_the_episode_and_no_reward,
    a_limit_of_verifiers_ends_the_episode_as_ours_would,
    its_environment_is_played_and_branched_by_replay,
    what_is_not_deterministic_is_told,
    a_rollout_that_fails_is_a_fault_and_never_scored,
    what_is_not_there_is_a_configuration_error,
)
"""What is tried, in order."""
