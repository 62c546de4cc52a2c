"""Defines `check_travel` and `check_tool_travel`: environments and tools may be pickled, and go on elsewhere."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import cloudpickle

from axpo_envs.conformance._invariants import Invariant, fail, nothing_raised
from axpo_envs.engine.workers._parcels import ToolParcel
from axpo_envs.engine.workers._pool import shared_pool
from axpo_envs.env import ToolEnv
from axpo_envs.tool.protocol import Effects, Tool, ToolContext, ToolError
from axpo_envs.types import Parts, Question, ToolStatus

_LIMIT_S: Final = 600.0

_Called: TypeAlias = tuple[ToolStatus, Parts, Any]
"""Status and content of a result, and the tool's state after it."""


def check_travel(env: ToolEnv, turns: Sequence[str], *, seed: int) -> None:
    """Pickles an environment, and plays an episode with it and with its copies in this and another process.

    One that is made of what the running script defines is not tried in another process: put it into a module.

    Args:
        env: the environment; it is reset.
        turns: the episode's turns; those behind its end are left out.
        seed: the episode's seed.

    Raises:
        ConformanceError: it cannot be pickled, or a copy plays another episode.
    """
    expected = _played(env, turns, seed)
    with nothing_raised(Invariant.ENV_TRAVELS, "Pickling it, or reading it back,"):
        data = cloudpickle.dumps(env)
        copy = pickle.loads(data)
    if copy.state.digest != env.state.digest or _played(copy, turns, seed) != expected:
        fail(Invariant.ENV_TRAVELS, "The copy in this process is elsewhere, or goes on otherwise.")
    if not _known_elsewhere(data):
        return
    parcel = ToolParcel(name="a copy of the environment", tool=_Player(), home=__name__)
    with nothing_raised(Invariant.ENV_TRAVELS, "Playing its copy in another process"):
        elsewhere = shared_pool().run(parcel, (data, turns, seed), limit_s=_LIMIT_S)
    if elsewhere != expected:
        fail(Invariant.ENV_TRAVELS, f"The copy in another process gave {elsewhere!r} instead of {expected!r}.")


def check_tool_travel(tool: Tool, arguments: Mapping[str, Any], question: Question) -> None:
    """Pickles a tool, and calls it and its copies in this and another process.

    Tools with external effects are pickled and not called; those that the running script defines are not tried in
    another process.

    Args:
        tool: the tool.
        arguments: arguments that fit it.
        question: the question of the episode it is called in.

    Raises:
        ConformanceError: it cannot be pickled, or a copy gives another result.
    """
    with nothing_raised(Invariant.TOOL_TRAVELS, "Pickling it, or reading it back,"):
        data = cloudpickle.dumps(tool)
        copy = pickle.loads(data)
    if tool.effects is Effects.EXTERNAL:
        return
    expected = _called(tool, arguments, question)
    if (got := _called(copy, arguments, question)) != expected:
        fail(Invariant.TOOL_TRAVELS, f"The copy in this process gave {got!r} instead of {expected!r}.")
    if not _known_elsewhere(data):
        return
    parcel = ToolParcel(name=f"a copy of {tool.name}", tool=_Caller(), home=__name__)
    with nothing_raised(Invariant.TOOL_TRAVELS, "Calling its copy in another process"):
        elsewhere = shared_pool().run(parcel, (data, dict(arguments), question), limit_s=_LIMIT_S)
    if elsewhere != expected:
        fail(Invariant.TOOL_TRAVELS, f"The copy in another process gave {elsewhere!r} instead of {expected!r}.")


def _known_elsewhere(data: bytes) -> bool:
    # Classes that a script itself defines are known to that script alone.
    return hasattr(os, "fork") and b"__main__" not in data


class _Caller:
    """Calls a pickled tool in a worker process."""

    def step(self, data: bytes, arguments: Mapping[str, Any], question: Question) -> _Called:
        return _called(pickle.loads(data), arguments, question)


def _called(tool: Tool, arguments: Mapping[str, Any], question: Question) -> _Called:
    context = ToolContext(question=question, images=question.images, seed=0)
    try:
        result, state = tool.step(tool.validate(arguments), tool.initial_state(question), context)
    except ToolError as error:
        return ToolStatus.ERROR, (str(error),), None
    return result.status, result.content, state


class _Player:
    """Plays a pickled environment in a worker process."""

    def step(self, data: bytes, turns: Sequence[str], seed: int) -> list[str]:
        return _played(pickle.loads(data), turns, seed)


def _played(env: ToolEnv, turns: Sequence[str], seed: int) -> list[str]:
    """The digests of an episode's states."""
    env.reset(seed=seed)
    digests = [env.state.digest]
    for turn in turns:
        if env.state.stop is None:
            env.step(turn)
            digests.append(env.state.digest)
    return digests
