"""Defines the lesson of desk work: episodes of the scripted agent of brief desks in the environment itself."""

from __future__ import annotations

import numpy as np

from axpo.settings.sft import MixtureConfig
from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Stretch
from axpo_agents.rolling import roll_agent
from axpo_envs.suite.desk.brief_expert import BriefDeskExpert, DeskStyle
from axpo_envs.suite.desk.env import Desk


class DeskWork:
    """A mixture of tickets that are looked at and dealt with, some of them wrongly, and such as are declined outright.

    Args:
        env: the environment that the demonstrations belong to, with a brief desk.
        mixture: shares and slips.
        seed: decides everything drawn.
    """

    def __init__(self, env: Desk, mixture: MixtureConfig, *, seed: int) -> None:
        self._env = env
        self._mixture = mixture
        self._rng = np.random.default_rng(seed)
        self._asked = Desk(**{**env.knobs, "guess_rate": mixture.tool_guess_rate})
        self._worker = self._expert(act_rate=1.0)
        self._decliner = self._expert(act_rate=0.0)
        self._next = 0

    @property
    def env(self) -> Desk:
        """The environment that the demonstrations belong to."""
        return self._env

    def draw(self, count: int) -> list[Demonstration]:
        """The next demonstrations."""
        return [self._demonstration() for _ in range(count)]

    def _expert(self, *, act_rate: float) -> BriefDeskExpert:
        mixture = self._mixture
        style = DeskStyle(act_rate=act_rate, slip_rate=mixture.slip_rate, heedless_rate=mixture.heedless_rate)
        return BriefDeskExpert(self._asked, style, seed=int(self._rng.integers(2**63)))

    def _demonstration(self) -> Demonstration:
        question = self._asked.questions.question(self._next)
        self._next += 1
        start = self._asked.begin(question, seed=int(self._rng.integers(2**63)))
        expert = self._worker if self._rng.random() < self._mixture.tool_share else self._decliner
        (rollout,) = roll_agent(expert, self._asked, [start])
        turns = tuple(
            DemonstratedTurn(stretches=(Stretch(text=turn.text),), observation=turn.observation)
            for turn in rollout.episode.turns
        )
        return Demonstration(start=start, turns=turns)
