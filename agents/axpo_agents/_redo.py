"""Defines `redo`, which does again what an infrastructure fault broke off, and `advance`, a turn executed that way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from axpo_envs.env import ToolEnv
from axpo_envs.errors import InfrastructureFault
from axpo_envs.parsing import parse_turn
from axpo_envs.plumbing.web import Retries
from axpo_envs.tool.protocol import Effects, RepeatableTool, Tool
from axpo_envs.types import EpisodeState

A = TypeVar("A")

REDO: Final = Retries(attempts=6, first_wait_s=0.1, longest_wait_s=10.0)
"""How often something is tried where nothing else is asked for: for at most 3 seconds, beside the time it takes."""


def redo(action: Callable[[], A], retries: Retries) -> A:
    """The action's value, tried again after infrastructure faults.

    Raises:
        InfrastructureFault: the last attempt failed, too.
    """
    failures = 0
    while True:
        try:
            return action()
        except InfrastructureFault:
            failures += 1
            if failures >= retries.attempts:
                raise
        retries.sleep(retries.wait_s(failures))


def advance(env: ToolEnv, state: EpisodeState, text: str, *, cut_off: bool = False, retries: Retries) -> EpisodeState:
    """The state after a turn.

    The state before it is immutable, so a turn that met a fault is executed again from there. A turn that calls a tool
    with external effects is executed once, because they may have happened before the fault; unless the tool is
    repeatable, as searching is.

    Raises:
        InfrastructureFault: the fault stayed, or the turn must not be repeated.
    """

    def take() -> EpisodeState:
        return env.advance(state, text, cut_off=cut_off).state

    once = {tool.name for tool in env.tools if _acts_once(tool)}
    if once and not cut_off and any(parsed.call.name in once for parsed in parse_turn(text).calls):
        return take()
    return redo(take, retries)


def _acts_once(tool: Tool) -> bool:
    repeatable = isinstance(tool, RepeatableTool) and tool.repeatable
    return tool.effects is Effects.EXTERNAL and not repeatable
