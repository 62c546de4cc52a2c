"""Measures tools: how long rollouts wait for slow ones, and what time limits cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from axpo_agents.policy import Prefix, Sampled, Sampler, TurnSpans
from axpo_agents.rolling import Start, roll
from axpo_agents.types import WHOLE, Context, FinishReason, Rollout, Sampling, TokenSequence, Truncation
from axpo_benchmarks.speed.rows import Absolute, Row, median_seconds
from axpo_envs import EpisodeState, ExactMatch, ListQuestions, Parts, Question, ToolEnv, ToolEnvSpec
from axpo_envs.engine.workers import TimedStep
from axpo_envs.examples import call_turn
from axpo_envs.tool.protocol import ToolTimeout
from axpo_envs.tools import FunctionTool, ToolContext, tool

if TYPE_CHECKING:
    import torch

SLEEP_S: Final = 0.2
"""What a slow tool takes."""

_ANSWER: Final = "<answer>7</answer>"
_QUESTION: Final = Question(id="0", prompt=("?",), answer="7")


@tool(name="sleep")
def sleep(seconds: float) -> str:
    """Sleeps."""
    time.sleep(seconds)
    return "slept"


@tool(name="sleep", timeout_s=10.0)
def sleep_in_worker(seconds: float) -> str:
    """Sleeps."""
    time.sleep(seconds)
    return "slept"


@tool(name="sleep", timeout_s=10.0)
async def sleep_async(seconds: float) -> str:
    """Sleeps."""
    await asyncio.sleep(seconds)
    return "slept"


@tool(name="sleep", timeout_s=0.1)
def oversleep(seconds: float) -> str:
    """Sleeps longer than it may."""
    time.sleep(seconds)
    return "slept"


def measure() -> list[Row]:
    """The rows of the tools."""
    return [*_waiting(), *_time_limits()]


def _waiting() -> Iterator[Row]:
    cases = (
        ("plain", sleep, 8, 0.4),
        ("with a time limit", sleep_in_worker, 8, 0.4),
        ("async", sleep_async, 8, 0.4),
        ("async", sleep_async, 256, None),
    )
    for kind, slow, rollouts, limit in cases:
        seconds = median_seconds(partial(_roll, slow, rollouts), repeats=3)
        name = f"a turn of {rollouts} rollouts whose tool ({kind}) sleeps {SLEEP_S:g} s"
        yield Absolute(name=name, value=seconds, unit="s", limit=limit)


def _time_limits() -> Iterator[Row]:
    context = ToolContext(question=_QUESTION, images=(), seed=0)
    quick, late = TimedStep(sleep_in_worker), TimedStep(oversleep)

    def stopped() -> None:
        try:
            late({"seconds": 60.0}, None, context)
        except ToolTimeout:
            return
        raise AssertionError("a call past its time limit came back")

    call = median_seconds(lambda: quick({"seconds": 0.0}, None, context), repeats=5, inner=50)
    yield Absolute(name="call of a tool with a time limit", value=1e6 * call, unit="us", limit=None)
    late_by = median_seconds(stopped, repeats=5) - 0.1
    yield Absolute(
        name="a call is dead this long after its limit, worker included", value=1e3 * late_by, unit="ms", limit=None
    )


def _roll(slow: FunctionTool, rollouts: int) -> None:
    questions = ListQuestions([_QUESTION])
    env = ToolEnv(ToolEnvSpec(env_id="bench/Sleep-v0", questions=questions, tools=(slow,), reward=ExactMatch()))
    starts = [Start(state=env.begin(questions.question(0), seed=seed)) for seed in range(rollouts)]
    outcomes = roll(_Sleeper(), env, starts, Sampling(), seed=0)
    if not all(isinstance(outcome, Rollout) and outcome.reward == 1.0 for outcome in outcomes):
        raise AssertionError("a rollout was lost or went wrong")


class _Sleeper(Sampler):
    """Calls the tool once and answers; its tokens are characters. It costs next to nothing."""

    version = 0

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        return self._encode(env.opening(state))

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        del after
        return self._encode(observation)

    def decode_turn(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        del ids
        return TurnSpans(thinking=None, call=None, cut=None)

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        del sampling, seed
        return [self._turn(any(prefix.sequence.sampled)) for prefix in prefixes]

    def logprobs(
        self, sequences: Sequence[TokenSequence], *, temperature: float = 1.0, truncation: Truncation = WHOLE
    ) -> list[torch.Tensor]:
        raise NotImplementedError("nothing is trained here")

    def _turn(self, slept: bool) -> Sampled:
        ids = tuple(map(ord, _ANSWER if slept else call_turn("sleep", {"seconds": SLEEP_S})))
        return Sampled(ids=ids, logprobs=(0.0,) * len(ids), finish=FinishReason.STOP)

    def _encode(self, parts: Parts) -> Context:
        return Context(ids=tuple(ord(character) for part in parts if isinstance(part, str) for character in part))
