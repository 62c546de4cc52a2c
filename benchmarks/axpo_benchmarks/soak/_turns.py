"""Defines the part `turns`: turns as odd as a policy may write them; none may raise, equal ones end equal."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from typing import Any, Final

import gymnasium

from axpo_benchmarks.soak._command import SoakConfig
from axpo_envs import ExactMatch, ListQuestions, Question, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.examples import BAD_TURNS
from axpo_envs.tools import ImageZoomIn, tool

_PIECES: Final = (
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>", "\\boxed{", "}", "{", "[", "]"),
    *(
        '"',
        '"name":',
        '"arguments":',
        "image_zoom_in",
        "double",
        "bbox_2d",
        ":",
        ",",
        "NaN",
        "1e999",
        "-1",
        "0",
        "1000",
    ),
    *(
        "1000",
        "null",
        "<function=double>",
        "<parameter=number>",
        "</parameter>",
        "</function>",
        "\\u0000",
        "\ud800",
        "\udfff",
    ),
    *("\u2028", "\U0001f600", "\x00", "\x1b[2J", " ", "\n", "a", "red", "7", "<|im_end|>", "<tool_response>", "\\"),
    *("//", "\u00e9", "\u6f22\u5b57"),
)
_REPLAYED: Final = 997
"""Every so many-th episode is played again."""


@tool
def double(number: int) -> str:
    """Doubles a number.

    Args:
        number: what is doubled.
    """
    return str(2 * number)


def soak(config: SoakConfig) -> dict[str, Any]:
    """Plays the turns; returns how episodes ended, and how fast."""
    source = random.Random(config.seed)
    zoom = gymnasium.make("axpo/VisualZoom-v0", image_size=128, view_size=32).unwrapped
    assert isinstance(zoom, ToolEnv)
    picture = zoom.questions.question(0).images[0]
    questions = ListQuestions(Question(id=f"q{n}", prompt=(picture, "?"), answer=str(n)) for n in range(8))
    tools = (double, ImageZoomIn(view_size=32))
    spec = ToolEnvSpec(env_id="soak/Turns-v0", questions=questions, tools=tools, reward=ExactMatch(), max_turns=4)
    envs = (zoom, ToolEnv(spec))
    ends: Counter[str] = Counter()
    turns = episodes = 0
    began = time.monotonic()
    while turns < config.turns:
        env = source.choice(envs)
        question, seed = env.questions.question(source.randrange(8)), source.randrange(1 << 30)
        written = _play(env, question, seed, source)
        turns += len(written)
        episodes += 1
        state = env.begin(question, seed=seed)
        digests = []
        for turn in written if episodes % _REPLAYED == 0 else ():
            state = env.advance(state, turn).state
            digests.append(env.snapshot_of(state).digest)
        if digests and digests != _digests(env, question, seed, written):
            raise AssertionError(f"the same turns led to other moments: {written!r}")
        ends["answered" if "<answer>" in written[-1] or "boxed" in written[-1] else "limit"] += 1
    return {
        "held": True,
        "turns": turns,
        "episodes": episodes,
        "replayed": episodes // _REPLAYED,
        "ends": dict(ends),
        "turns_per_second": turns / (time.monotonic() - began),
    }


def _play(env: ToolEnv, question: Question, seed: int, source: random.Random) -> list[str]:
    """The turns of an episode, each given to the environment; every reward is a number."""
    state, written = env.begin(question, seed=seed), []
    while state.stop is None:
        written.append(_turn(source))
        transition = env.advance(state, written[-1])
        if not math.isfinite(transition.reward):
            raise AssertionError(f"a reward is no finite number: {transition.reward}")
        state = transition.state
    return written


def _digests(env: ToolEnv, question: Question, seed: int, written: list[str]) -> list[str]:
    state, found = env.begin(question, seed=seed), []
    for turn in written:
        state = env.advance(state, turn).state
        found.append(env.snapshot_of(state).digest)
    return found


def _turn(source: random.Random) -> str:
    kind = source.random()
    if kind < 0.0005:
        return source.choice(_PIECES) * 100_000
    if kind < 0.15:
        return source.choice(BAD_TURNS)
    if kind < 0.35:
        return _mutated(call_turn("double", {"number": source.randrange(-9, 9)}), source)
    if kind < 0.55:
        box = [source.randrange(-10, 1100) for _ in range(source.randrange(3, 6))]
        return _mutated(call_turn("image_zoom_in", {"bbox_2d": box}), source)
    return "".join(source.choice(_PIECES) for _ in range(source.randrange(1, 40)))


def _mutated(turn: str, source: random.Random) -> str:
    """The turn with a few characters cut, doubled or replaced, or as it was."""
    for _ in range(source.randrange(3)):
        place = source.randrange(len(turn) + 1)
        turn = source.choice(
            (turn[:place], turn[:place] + source.choice(_PIECES) + turn[place:], turn[:place] * 2, turn)
        )
    return turn
