"""Defines the lesson of computations: episodes of the scripted agent of written sums in the environment itself."""

from __future__ import annotations

import numpy as np

from axpo.settings.sft import MixtureConfig
from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Stretch
from axpo_agents.rolling import roll_agent
from axpo_envs.suite.python_reasoning.env import PythonReasoning
from axpo_envs.suite.python_reasoning.written_expert import CodingStyle, SumExpert


class Computations:
    """A mixture of written sums that are computed, some of them wrongly, and such as are guessed outright.

    Args:
        env: the environment that the demonstrations belong to.
        mixture: shares and slips.
        seed: decides everything drawn.
    """

    def __init__(self, env: PythonReasoning, mixture: MixtureConfig, *, seed: int) -> None:
        self._env = env
        self._mixture = mixture
        self._rng = np.random.default_rng(seed)
        self._asked = PythonReasoning(**{**env.knobs, "guess_rate": mixture.tool_guess_rate})
        self._coder = self._expert(slip_rate=mixture.slip_rate)
        self._guesser = self._expert(tool_rate=0.0)
        self._next = 0

    @property
    def env(self) -> PythonReasoning:
        """The environment that the demonstrations belong to."""
        return self._env

    def draw(self, count: int) -> list[Demonstration]:
        """The next demonstrations."""
        return [self._demonstration() for _ in range(count)]

    def _expert(self, *, slip_rate: float = 0.0, tool_rate: float = 1.0) -> SumExpert:
        style = CodingStyle(tool_rate=tool_rate, slip_rate=slip_rate, favourite_rate=self._mixture.favourite_share)
        return SumExpert(self._asked, style, seed=int(self._rng.integers(2**63)))

    def _demonstration(self) -> Demonstration:
        question = self._asked.questions.question(self._next)
        self._next += 1
        start = self._asked.begin(question, seed=int(self._rng.integers(2**63)))
        expert = self._coder if self._rng.random() < self._mixture.tool_share else self._guesser
        (rollout,) = roll_agent(expert, self._asked, [start])
        turns = tuple(
            DemonstratedTurn(stretches=(Stretch(text=turn.text),), observation=turn.observation)
            for turn in rollout.episode.turns
        )
        return Demonstration(start=start, turns=turns)
