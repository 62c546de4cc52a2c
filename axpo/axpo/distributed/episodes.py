"""Defines `DividedSampler`: a policy whose episodes are divided among processes, and told to all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from axpo.algorithm.sampling import Run
from axpo.distributed.division import stretch
from axpo.distributed.ranks import Ranks
from axpo_agents.policy import Prefix, Sampled, Sampler, TurnSpans
from axpo_agents.rolling import Lost, Start
from axpo_agents.types import Context, Rollout, Sampling
from axpo_envs.env import ToolEnv
from axpo_envs.types import EpisodeState, Parts


def seeded(starts: Sequence[Start]) -> list[Start]:
    """The starts, those without a seed with that of their place among all, whoever runs them."""
    return [start if start.seed is not None else replace(start, seed=place) for place, start in enumerate(starts)]


class DividedSampler(Sampler):
    """A policy whose episodes are divided among processes.

    Each process runs whole episodes, so that every tool is called once; then all of them know all episodes.

    Args:
        policy: samples the turns of this process's share.
        ranks: the processes.
        prepare: called on all processes before episodes are run; sees to it that the policy's weights are there.
    """

    def __init__(self, policy: Sampler, ranks: Ranks, prepare: Callable[[], None]) -> None:
        self._policy = policy
        self._ranks = ranks
        self._prepare = prepare

    def divided(self, starts: Sequence[Start], run: Run) -> list[Rollout | Lost]:
        """Runs episodes, each on one of the processes; all of them must call this with the same starts.

        Returns:
            In the order of the starts, on every process.

        Raises:
            PeerError: another process failed, or has gone.
            Interrupted: one of them was asked to stop.
        """
        self._prepare()
        own = seeded(starts)[stretch(len(starts), number=self._ranks.number, count=self._ranks.count)]
        parts = self._ranks.together(lambda: run(own))
        return [outcome for part in parts for outcome in part]

    @property
    def version(self) -> int:
        """Counts the updates of the weights."""
        return self._policy.version

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        """See `Sampler`."""
        return self._policy.encode_prompt(env, state)

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        """See `Sampler`."""
        return self._policy.encode_observation(observation, after=after)

    def decode_turn(self, ids: Sequence[int]) -> str:
        """See `Sampler`."""
        return self._policy.decode_turn(ids)

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """See `Sampler`."""
        return self._policy.find_spans(ids)

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        """See `Sampler`; on this process alone."""
        return self._policy.sample(prefixes, sampling, seed=seed)

    def forget(self) -> None:
        """See `Sampler`."""
        self._policy.forget()

    def __getattr__(self, name: str) -> Any:
        # What methods ask of some policies beyond the role (`encode_call`, `max_tokens`) is the policy's to answer.
        return getattr(self._policy, name)
