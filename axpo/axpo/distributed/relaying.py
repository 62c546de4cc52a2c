"""Defines `RelayedSampler` and `RelayedBuffer`: what the first process has others sample, and tells all processes.

Servers and workers elsewhere have one client: it alone knows which of them answer, and by which weights, so new weights
reach them once, and calls of tools are counted where all of them are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from axpo.algorithm.buffer import GroupBuffer
from axpo.algorithm.sampling import Run
from axpo.algorithm.types import Group
from axpo.distributed.episodes import seeded
from axpo.distributed.ranks import Ranks
from axpo_agents.policy import Follower, Learner, Prefix, Sampled, Sampler, TurnSpans
from axpo_agents.rolling import Lost, Start
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import Context, Rollout, Sampling
from axpo_envs.env import ToolEnv
from axpo_envs.types import EpisodeState, Parts


class RelayedSampler(Sampler, Follower):
    """What samples for the first process, which tells the others; its weights are those that all of them train.

    Args:
        sampler: what samples, on the first process; None on the others.
        policy: encodes and decodes where nothing samples, and has the learner's whole weights once they were gathered.
        ranks: the processes.
        assemble: gathers the policy's weights; all processes must call it.
    """

    def __init__(
        self, sampler: Sampler | None, policy: TransformersPolicy, ranks: Ranks, assemble: Callable[[], None]
    ) -> None:
        self.alone = sampler
        self._policy = policy
        self._here: Any = sampler or policy
        self._ranks = ranks
        self._assemble = assemble

    def divided(self, starts: Sequence[Start], run: Run) -> list[Rollout | Lost]:
        """Runs episodes on the first process; all processes must call this with the same starts.

        Returns:
            In the order of the starts, on every process.

        Raises:
            PeerError: another process failed, or has gone.
            Interrupted: one of them was asked to stop.
        """
        return self._ranks.first(lambda: run(seeded(starts)))

    def stage(self, learner: Learner) -> None:
        """See `Follower`; all processes must call it."""
        del learner  # of divided weights there are parts alone
        self._assemble()
        self._ranks.first(lambda: self._here.stage(self._policy))

    def adopt(self) -> None:
        """See `Follower`; all processes must call it."""

        def adopted() -> None:
            self._here.adopt()

        self._ranks.first(adopted)

    @property
    def version(self) -> int:
        """Counts the updates of the weights."""
        version: int = self._here.version
        return version

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        """See `Sampler`."""
        context: Context = self._here.encode_prompt(env, state)
        return context

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        """See `Sampler`."""
        context: Context = self._here.encode_observation(observation, after=after)
        return context

    def decode_turn(self, ids: Sequence[int]) -> str:
        """See `Sampler`."""
        text: str = self._here.decode_turn(ids)
        return text

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """See `Sampler`."""
        spans: TurnSpans = self._here.find_spans(ids)
        return spans

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        """See `Sampler`; on the first process alone."""
        if self.alone is None:
            raise RuntimeError(f"expected the first process to sample; process {self._ranks.number} was asked")
        return self.alone.sample(prefixes, sampling, seed=seed)

    def forget(self) -> None:
        """See `Sampler`."""
        self._here.forget()

    def __getattr__(self, name: str) -> Any:
        # What methods ask of some policies beyond the role (`encode_call`, `max_tokens`) is the policy's to answer.
        return getattr(self._here, name)


class RelayedBuffer(GroupBuffer):
    """The buffer of a run whose steps the first process samples ahead: what is taken of it there, all processes get.

    Args:
        held: what the first process holds; that of others stays empty.
        ranks: the processes.
    """

    def __init__(self, held: GroupBuffer, ranks: Ranks) -> None:
        super().__init__(held.settings)
        self._content = held._content
        self._ranks = ranks

    def take_for(self, step: int) -> tuple[Group, ...]:
        """See `GroupBuffer`; all processes must call it."""
        take = super().take_for
        groups, dropped = self._ranks.first(lambda: (take(step), self._content.dropped_stale))
        self._content.dropped_stale = dropped
        return groups
