"""Defines the lesson of search trajectories: episodes of the scripted agent in brief libraries."""

from __future__ import annotations

import numpy as np

from axpo.settings.sft import MixtureConfig
from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Stretch
from axpo_agents.rolling import roll_agent
from axpo_envs.suite.multi_hop_search.brief_expert import BriefExpert, SearchStyle
from axpo_envs.suite.multi_hop_search.env import MultiHopSearch
from axpo_envs.types import Episode


class Searches:
    """A mixture of MultiHopSearch episodes that search, some of them badly, and episodes that guess outright.

    Args:
        env: the environment that the demonstrations belong to.
        mixture: shares, slips and weights.
        seed: decides everything drawn.
    """

    def __init__(self, env: MultiHopSearch, mixture: MixtureConfig, *, seed: int) -> None:
        self._env = env
        self._mixture = mixture
        self._rng = np.random.default_rng(seed)
        self._asked = MultiHopSearch(**{**env.knobs, "guess_rate": mixture.tool_guess_rate})
        self._searcher = self._expert(slip_rate=mixture.slip_rate, stop_rate=mixture.stop_rate)
        self._guesser = self._expert(tool_rate=0.0)
        self._next = 0

    @property
    def env(self) -> MultiHopSearch:
        """The environment that the demonstrations belong to."""
        return self._env

    def draw(self, count: int) -> list[Demonstration]:
        """The next demonstrations."""
        return [self._demonstration() for _ in range(count)]

    def _expert(self, *, slip_rate: float = 0.0, stop_rate: float = 0.0, tool_rate: float = 1.0) -> BriefExpert:
        style = SearchStyle(
            tool_rate=tool_rate,
            slip_rate=slip_rate,
            stop_rate=stop_rate,
            favourite_rate=self._mixture.favourite_share,
        )
        return BriefExpert(self._asked, style, seed=int(self._rng.integers(2**63)))

    def _demonstration(self) -> Demonstration:
        question = self._asked.questions.question(self._next)
        self._next += 1
        start = self._asked.begin(question, seed=int(self._rng.integers(2**63)))
        expert = self._searcher if self._rng.random() < self._mixture.tool_share else self._guesser
        (rollout,) = roll_agent(expert, self._asked, [start])
        return Demonstration(start=start, turns=self._turns(rollout.episode))

    def _turns(self, episode: Episode) -> tuple[DemonstratedTurn, ...]:
        turns: list[DemonstratedTurn] = []
        read = ""
        for turn in episode.turns:
            stands_there = not read or turn.answer is None or f": {turn.answer}." in read
            weight = 1.0 if stands_there else self._mixture.made_up_weight
            turns.append(
                DemonstratedTurn(stretches=(Stretch(text=turn.text, weight=weight),), observation=turn.observation)
            )
            read = " ".join(part for part in turn.observation if isinstance(part, str))
        return tuple(turns)
