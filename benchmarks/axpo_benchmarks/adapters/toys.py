"""Defines the environments and scripts that the checks of adapters play with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import gymnasium

import axpo_envs  # noqa: F401  (registers the suite)
from axpo_envs import ExactMatch, InfrastructureFault, ListQuestions, Question, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.tools import tool

CALL: Final = call_turn("add", {"a": 1, "b": 2})
"""A call that works."""
FAULTY: Final = call_turn("add", {"a": 99, "b": 2})
"""A call whose machinery is down."""


@tool
def add(a: int, b: int) -> int:
    """Adds two whole numbers.

    Args:
        a: the first.
        b: the second.
    """
    if a == 99:
        raise InfrastructureFault("the adder is down")
    return a + b


def sums(**settings: Any) -> ToolEnv:
    """Asks what a + 2 is, for a from 0 to 3."""
    questions = [Question(id=f"{a}", prompt=(f"What is {a} + 2?",), answer=str(a + 2)) for a in range(4)]
    spec = ToolEnvSpec(
        env_id="bench/Sums-v0",
        questions=ListQuestions(questions),
        tools=(add,),
        reward=ExactMatch(),
        instructions="Call add, then answer in <answer> tags.",
        **settings,
    )
    return ToolEnv(spec)


def signs() -> ToolEnv:
    """Shows a sign that only a zoom makes readable."""
    env = gymnasium.make("axpo/VisualZoom-v0", image_size=256, view_size=64).unwrapped
    assert isinstance(env, ToolEnv)
    return env


def zoom() -> str:
    """A call that looks at the upper left quarter of the sign's image."""
    return call_turn("image_zoom_in", {"label": "sign", "bbox_2d": [0, 0, 500, 500]})


@contextmanager
def raises(kind: type[Exception], told: str = "") -> Iterator[None]:
    """Expects an error of that kind with that text.

    Raises:
        AssertionError: there is none, or it says something else.
    """
    try:
        yield
    except kind as error:
        if told not in str(error):
            raise AssertionError(f"expected {told!r} in the error; got {error!r}") from error
    else:
        raise AssertionError(f"expected a {kind.__name__}")
