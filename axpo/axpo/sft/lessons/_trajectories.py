"""Defines the lesson of expert trajectories: episodes of a scripted agent in the environment itself."""

from __future__ import annotations

import numpy as np

from axpo.settings.sft import TrajectoryConfig
from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Stretch
from axpo.sft.lessons._question_pool import QuestionPool
from axpo_agents.rolling import roll_agent
from axpo_envs.suite.visual_zoom.env import VisualZoom
from axpo_envs.suite.visual_zoom.expert import ExpertStyle, ZoomExpert
from axpo_envs.types import Episode, EpisodeState


class Trajectories:
    """A mixture of VisualZoom episodes that zoom and read, and episodes that guess outright.

    After a crop that misses the sign the expert reads something wrong, at a light weight: a policy that was taught to
    guess instead would never do worse by acting than by guessing, and one that was taught this at full weight would
    read worse.

    Args:
        env: the environment that the demonstrations belong to.
        mixture: shares, noise and weights.
        seed: decides everything drawn.
        questions: questions kept at a time.
        uses: demonstrations per question.
    """

    def __init__(self, env: VisualZoom, mixture: TrajectoryConfig, *, seed: int, questions: int, uses: int) -> None:
        self._env = env
        self._mixture = mixture
        self._rng = np.random.default_rng(seed)
        self._asked = VisualZoom(**{**env.knobs, "guess_rate": mixture.tool_guess_rate})
        self._pool = QuestionPool(self._asked.questions, self._rng, size=questions, uses=uses)
        self._noisy = self._expert(box_noise=mixture.box_noise)
        self._clean = self._expert(box_noise=mixture.clean_noise)
        self._guesser = self._expert(tool_rate=0.0)

    @property
    def env(self) -> VisualZoom:
        """The environment that the demonstrations belong to."""
        return self._env

    def draw(self, count: int) -> list[Demonstration]:
        """The next demonstrations."""
        return [self._demonstration() for _ in range(count)]

    def _expert(self, *, box_noise: float = 0.0, tool_rate: float = 1.0) -> ZoomExpert:
        style = ExpertStyle(
            tool_rate=tool_rate,
            box_noise=box_noise,
            favourite_rate=self._mixture.favourite_share,
            misread=True,
        )
        return ZoomExpert(self._asked, style, seed=int(self._rng.integers(2**63)))

    def _demonstration(self) -> Demonstration:
        # A question is used more than once; its episodes differ by their seed.
        start = self._asked.begin(self._pool.draw(), seed=int(self._rng.integers(2**63)))
        expert = self._guesser
        if self._rng.random() < self._mixture.tool_share:
            expert = self._clean if self._rng.random() < self._mixture.clean_share else self._noisy
        (rollout,) = roll_agent(expert, self._asked, [start])
        return Demonstration(start=start, turns=self._turns(rollout.episode, start))

    def _turns(self, episode: Episode, start: EpisodeState) -> tuple[DemonstratedTurn, ...]:
        turns: list[DemonstratedTurn] = []
        weight = 1.0
        for turn in episode.turns:
            turns.append(
                DemonstratedTurn(stretches=(Stretch(text=turn.text, weight=weight),), observation=turn.observation)
            )
            for call in turn.calls:
                box = self._noisy.seen(start.question, call)
                legible = box is not None and self._noisy.read(start.question, box, self._rng).legible
                weight = 1.0 if legible else self._mixture.bad_crop_weight
        return tuple(turns)
