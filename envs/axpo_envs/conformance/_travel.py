"""Defines `check_travel`, the conformance check that an environment may be pickled and goes on elsewhere."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from typing import Final

import cloudpickle

from axpo_envs.conformance._invariants import Invariant, fail, nothing_raised
from axpo_envs.engine.workers._parcels import ToolParcel
from axpo_envs.engine.workers._pool import shared_pool
from axpo_envs.env import ToolEnv

_LIMIT_S: Final = 600.0


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
    # Classes that a script itself defines are known to that script alone.
    if not hasattr(os, "fork") or b"__main__" in data:
        return
    parcel = ToolParcel(name="a copy of the environment", tool=_Player(), home=__name__)
    with nothing_raised(Invariant.ENV_TRAVELS, "Playing its copy in another process"):
        elsewhere = shared_pool().run(parcel, (data, turns, seed), limit_s=_LIMIT_S)
    if elsewhere != expected:
        fail(Invariant.ENV_TRAVELS, f"The copy in another process gave {elsewhere!r} instead of {expected!r}.")


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
