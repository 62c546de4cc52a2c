"""Measures the environment: the cost of a turn, of a snapshot, and of copying an environment instead."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import numpy as np

from axpo_benchmarks.speed.rows import Absolute, Ratio, Row, median_seconds
from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef
from axpo_envs.questions.sources import ListQuestions
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.tools import tool
from axpo_envs.types import Question

_CALL = '<think>once more</think><tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
_SIDES = {"0.5 MP": 707, "8 MP": 2828, "33 MP": 5745}


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def measure() -> list[Row]:
    """The rows of the environment."""
    return [*_turn(), *_snapshots()]


def _environment(side: int = 64) -> ToolEnv:
    image = ImageRef(np.zeros((side, side, 3), dtype=np.uint8))
    questions = ListQuestions([Question(id="0", prompt=(image, "What is 1 + 2?"), answer="3")])
    rules = ToolEnvSpec(env_id="bench/Add-v0", questions=questions, tools=(add,), reward=ExactMatch(), max_turns=1000)
    return ToolEnv(rules)


def _turn() -> Iterator[Row]:
    env = _environment()
    state = env.begin(env.questions.question(0))
    whole = median_seconds(lambda: env.advance(state, _CALL), repeats=21, inner=200)
    yield Absolute(name="turn without the tool's own work", value=1e6 * whole, unit="us", limit=100.0)


def _snapshots() -> Iterator[Row]:
    for label, side in _SIDES.items():
        for turns in (1, 50):
            env = _environment(side)
            env.reset(seed=0)
            for _ in range(turns):
                env.step(_CALL)
            snapshot = env.snapshot()
            taken = median_seconds(env.snapshot, repeats=21, inner=1000)
            restored = median_seconds(partial(env.restore, snapshot), repeats=21, inner=1000)
            where = f"{label}, {turns} turn{'s' if turns > 1 else ''}"
            yield Absolute(name=f"snapshot, {where}", value=1e6 * taken, unit="us", limit=None)
            yield Absolute(name=f"restore, {where}", value=1e6 * restored, unit="us", limit=None)
            copied = median_seconds(partial(copy.deepcopy, env), repeats=5)
            yield Ratio(name=f"deepcopy / snapshot and restore, {where}", ratio=copied / (taken + restored), target=100)
