"""An environment whose tools act on a ledger outside, on their own state, or on nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from axpo_envs import ExactMatch, Label, ListQuestions, Question, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.governance import Governance
from axpo_envs.tools import Effects, ToolContext, ToolError, ToolResult, tool

PAID: list[tuple[float, str]] = []
"""What the tool `pay` has done to the world."""


@tool(effects="external")
def pay(amount: float, to: str = "ACME", password: str = "") -> str:
    """Pays.

    Args:
        amount: how much.
        to: whom.
        password: the key to the safe.
    """
    PAID.append((amount, to))
    return f"paid {amount:g} to {to}"


@tool
def look(where: str, times: int = 1) -> str:
    """Looks somewhere."""
    return f"looked {times} times at {where}"


class Notes:
    """Keeps notes, and tells beforehand what it would keep."""

    name = "note"
    description = "Keeps a note."
    parameters: Mapping[str, Any] = {"type": "object", "properties": {"text": {"type": "string"}}}
    effects = Effects.STATEFUL
    timeout_s = None

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return arguments

    def initial_state(self, question: Question) -> tuple[str, ...]:
        return ()

    def preview(self, arguments: Mapping[str, Any], state: tuple[str, ...]) -> str:
        if arguments["text"] in state:
            raise ToolError("it is noted already")
        return f"note {len(state) + 1} would be {arguments['text']!r}"

    def step(
        self, arguments: Mapping[str, Any], state: tuple[str, ...], context: ToolContext
    ) -> tuple[ToolResult, tuple[str, ...]]:
        return ToolResult(content=(f"{len(state) + 1} notes",)), (*state, arguments["text"])


QUESTION = Question(id="q", prompt=("?",), answer="1", labels=frozenset({Label.MUST_ACT}))
OTHER = Question(id="other", prompt=("??",), answer="1")


@pytest.fixture(autouse=True)
def paid() -> list[tuple[float, str]]:
    PAID.clear()
    return PAID


@pytest.fixture
def make() -> Callable[..., ToolEnv]:
    """Makes the environment under a policy; further keyword arguments are those of `Governance`, or `spec`."""
    runs = iter(range(1000))

    def made(policy: Any, *, spec: Mapping[str, Any] | None = None, **governed: Any) -> ToolEnv:
        rules = ToolEnvSpec(
            **{
                "env_id": "test/Shop-v0",
                "questions": ListQuestions((QUESTION, OTHER)),
                "tools": (pay, look, Notes()),
                "reward": ExactMatch(),
                "max_turns": 20,
                **(spec or {}),
            }
        )
        # Budgets of a run would go on from test to test.
        run = f"test {id(runs)} {next(runs)}"
        return ToolEnv(Governance(**{"policy": policy, "run": run, **governed}).over(rules))

    return made


@pytest.fixture
def say() -> Callable[..., str]:
    """What the policy reads of a call in an episode of the environment's first question."""

    def said(env: ToolEnv, name: str, **arguments: Any) -> str:
        if env._state is None:
            env.reset(seed=0, options={"index": 0})
        text = env.step(call_turn(name, arguments))[0]["text"]
        return str(text).removeprefix("<tool_response>\n").removesuffix("\n</tool_response>")

    return said
