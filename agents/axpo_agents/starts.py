"""Defines `Start`, the moment from which an episode is rolled, and `Lost`, what remains of one that had no end."""

from __future__ import annotations

from dataclasses import dataclass

from axpo_agents.types import Completion, Context, Rollout
from axpo_envs.errors import InfrastructureFault
from axpo_envs.snapshot import Snapshot
from axpo_envs.types import EpisodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where an episode starts or goes on."""

    state: EpisodeState
    """The environment before the first turn to sample."""
    completions: tuple[Completion, ...] = ()
    """The turns so far on the token level; as many as `state.turns`."""
    snapshots: tuple[Snapshot, ...] = ()
    """The moment before each of them."""
    context: Context | None = None
    """What is added before the first turn to sample, where it is already known as tokens; None encodes it."""
    forced: tuple[int, ...] = ()
    """Token ids the first turn must start with."""
    forced_logprobs: tuple[float, ...] = ()
    """Their log-probabilities when they were sampled."""
    seed: int | None = None
    """Tells the episode from others that are rolled with the same seed: the random numbers of its turns follow from
    both and the turn's number, whatever is rolled beside it. None takes its place among the starts."""

    def __post_init__(self) -> None:
        turns = len(self.state.turns)
        if len(self.completions) != turns or len(self.snapshots) != turns:
            raise ValueError(
                f"expected a completion and a snapshot for each of {turns} turns; "
                f"got {len(self.completions)} and {len(self.snapshots)}"
            )
        if len(self.forced) != len(self.forced_logprobs):
            raise ValueError(
                f"expected a log-probability for each of {len(self.forced)} forced tokens; "
                f"got {len(self.forced_logprobs)}"
            )

    @classmethod
    def within(cls, rollout: Rollout, *, turn: int, token: int) -> Start:
        """The moment after the first `token` sampled tokens of a turn of a finished rollout: where a branch starts.

        Everything before is taken over as token ids, the turn's context included; nothing is tokenized again.
        """
        cut = rollout.completions[turn]
        return cls(
            state=rollout.snapshots[turn].state,
            completions=rollout.completions[:turn],
            snapshots=rollout.snapshots[:turn],
            context=cut.context,
            forced=cut.ids[:token],
            forced_logprobs=cut.logprobs[:token],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """An episode that the infrastructure took; it has no reward."""

    start: Start
    """Where it started, and may be started again."""
    fault: InfrastructureFault
    """What happened."""
    used_tool: bool
    """It had opened a tool call by then, in the lost turn or before."""
