"""Defines the lesson of recorded demonstrations: a user's own, pass after pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from axpo.sft._demonstrations import Demonstration, encode
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_envs.env import ToolEnv


class Recorded:
    """Shows every demonstration once a pass, in an order of the pass's own.

    Args:
        demonstrations: at least one.
        env: what they are shown with; None for demonstrations that each have an environment of their own.
        seed: decides the orders.
    """

    def __init__(self, demonstrations: Sequence[Demonstration], env: ToolEnv | None, *, seed: int) -> None:
        self._demonstrations = tuple(demonstrations)
        self._env = env
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._left: list[int] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._demonstrations)

    @property
    def env(self) -> ToolEnv:
        """What demonstrations without an environment of their own are shown with."""
        env = self._env or self._demonstrations[0].env
        if env is None:
            raise ValueError("expected an environment for these demonstrations; neither they nor their lesson have one")
        return env

    def steps(self, *, epochs: int, batch: int) -> int:
        """Optimizer steps of so many passes."""
        return epochs * math.ceil(len(self) / batch)

    def fitting(self, policy: TransformersPolicy, *, max_tokens: int) -> Recorded:
        """The same without those that have more tokens.

        Raises:
            PolicyError: the policy cannot read one of them.
        """
        sizes = [len(encode(one, self.env, policy).sequence.ids) for one in self._demonstrations]
        kept = [one for one, size in zip(self._demonstrations, sizes, strict=True) if size <= max_tokens]
        return Recorded(kept, self._env, seed=self._seed)

    def draw(self, count: int) -> list[Demonstration]:
        """The next demonstrations; fewer at the end of a pass, so that none stands in a batch twice."""
        if not self._left:
            self._left = [int(index) for index in self._rng.permutation(len(self._demonstrations))]
        taken, self._left = self._left[:count], self._left[count:]
        return [self._demonstrations[index] for index in taken]
