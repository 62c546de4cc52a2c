"""A small environment with a stateless and a stateful tool, on which the core is tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from axpo_envs import ExactMatch, ImageRef, ListQuestions, Question, Snapshot, ToolEnv, ToolEnvSpec
from axpo_envs.tools import Effects, ToolArgumentError, ToolContext, ToolError, ToolResult, tool


@tool
def add(a: int, b: int = 1) -> int:
    """Adds two numbers.

    Args:
        a: the first.
        b: the second.
    """
    return a + b


@tool
def crop(size: int, context: ToolContext) -> ImageRef:
    """Cuts the corner out of the newest image."""
    if size < 1 or not context.images:
        raise ToolError(f"expected size >= 1 and an image; got size {size} and {len(context.images)} images")
    return ImageRef(context.images[-1].pixels[:size, :size].copy())


class Counter:
    """Counts up by `step`, from a state that is a number; a step of 0 is an error."""

    name = "count"
    description = "Counts up."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"step": {"type": "integer"}},
        "required": ["step"],
    }
    effects = Effects.STATEFUL
    timeout_s = None

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if set(arguments) != {"step"} or type(arguments["step"]) is not int:
            raise ToolArgumentError(f"expected step: integer; got {dict(arguments)}")
        return arguments

    def initial_state(self, question: Question) -> int:
        return 0

    def step(self, arguments: Mapping[str, Any], state: int, context: ToolContext) -> tuple[ToolResult, int]:
        if arguments["step"] == 0:
            raise ToolError("a step of 0 counts nothing")
        count = state + arguments["step"]
        return ToolResult(content=(f"{count}",)), count


def picture(side: int = 4, shade: int = 0) -> ImageRef:
    pixels = np.full((side, side + 1, 3), shade, np.uint8)
    pixels[0, 0] = 255
    return ImageRef(pixels)


QUESTIONS = (
    Question(id="sum", prompt=("What is 2 + 3?", picture()), answer="5"),
    Question(id="größe", prompt=(picture(3, 7), "How wide? 🙂", picture(5, 9)), answer="Four"),
    Question(id="plain", prompt=("Say yes.",), answer="yes"),
)


def make_tool_env(**changes: Any) -> ToolEnv:
    render_mode = changes.pop("render_mode", None)
    settings: dict[str, Any] = {
        "env_id": "test/Arithmetic-v0",
        "questions": ListQuestions(QUESTIONS),
        "tools": (add, crop, Counter()),
        "reward": ExactMatch(),
        "instructions": "Use the tools.",
    }
    return ToolEnv(ToolEnvSpec(**{**settings, **changes}), render_mode=render_mode)


@pytest.fixture(scope="session")
def make_env() -> Callable[..., ToolEnv]:
    """Makes the environment; keyword arguments change fields of its spec."""
    return make_tool_env


@pytest.fixture
def env() -> ToolEnv:
    """The environment, reset to its first question."""
    env = make_tool_env()
    env.reset(seed=0, options={"index": 0})
    return env


@pytest.fixture(scope="session")
def hold_to_its_past() -> Callable[[ToolEnv, list[str], list[str]], None]:
    """Rewinds an environment to a moment, and holds what follows to what followed the first time."""

    def hold(env: ToolEnv, before: list[str], after: list[str]) -> None:
        env.reset(seed=len(before))
        for turn in before:
            env.step(turn)
        moment = env.snapshot()
        first = [env.step(turn)[0]["text"] for turn in after]
        end = env.snapshot().digest
        env.restore(Snapshot.from_bytes(moment.to_bytes()))
        assert env.snapshot().digest == moment.digest
        assert [env.step(turn)[0]["text"] for turn in after] == first
        assert env.snapshot().digest == end

    return hold
