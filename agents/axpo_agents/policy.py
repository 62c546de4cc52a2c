"""Defines the roles of a policy: `Sampler` (turns from prefixes), `Learner` (weights), `Follower`, `TextAgent`.

A local model is sampler and learner; a server is a sampler whose weights are a learner's somewhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from axpo_agents.passes import Pass, plan_rows
from axpo_agents.types import WHOLE, Context, FinishReason, Sampling, Span, TokenSequence, Truncation

if TYPE_CHECKING:
    import torch

    from axpo_envs.env import ToolEnv
    from axpo_envs.types import EpisodeState, Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """What a turn is sampled after."""

    sequence: TokenSequence
    """Everything before the turn, contexts and earlier turns; ends with the context just added."""
    forced: tuple[int, ...] = ()
    """Token ids the turn must start with: the frozen prefix of a branch."""
    seed: int | None = None
    """Decides, alone, which random numbers the turn is sampled with, whatever is sampled beside it; None leaves that to
    the seed of the call and the prefix's place in it."""

    def room(self, sampling: Sampling) -> int:
        """How many tokens may still be sampled; none if it is 0 or less."""
        turn = min(sampling.max_turn_tokens, sampling.max_episode_tokens - len(self.sequence.ids))
        return turn - len(self.forced)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What was sampled after a prefix."""

    ids: tuple[int, ...]
    """New token ids, without the forced ones."""
    logprobs: tuple[float, ...]
    """Their natural-log probabilities under the distribution they were drawn from."""
    finish: FinishReason
    """Why sampling stopped."""
    version: int | None = None
    """Version of the weights that sampled them, where it may change between turns of a call; None for the sampler's
    when it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSpans:
    """Where the parts of a turn lie within its token ids."""

    thinking: Span | None
    """Thinking span, tags included."""
    call: Span | None
    """First call outside it, tags included."""
    cut: int | None
    """Number of leading ids up to and including that call's opening tag."""


class Sampler(Protocol):
    """What samples turns, as token ids with their log-probabilities.

    How computation is shared between prefixes (prompts prefilled once, caches kept over turns) is its own business:
    equal inputs give equal distributions. It needs no torch. One that has an attribute `at_once` above 1 takes so many
    calls of `sample` at a time, from threads.
    """

    @property
    def version(self) -> int:
        """Counts the updates of the weights; recorded with every completion."""
        ...

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        """The opening context of an episode: instructions, tool schemas, the question with its images as shown."""
        ...

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        """The context that follows a turn whose sampled ids were `after`; ends where the next turn begins."""
        ...

    def decode_turn(self, ids: Sequence[int]) -> str:
        """The text of a turn as the environment parses it: special tags kept, end-of-turn token dropped."""
        ...

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """Locates thinking and the first tool call in a turn's ids."""
        ...

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        """Samples one turn after each prefix; the result is a function of weights, prefixes, settings and seed.

        Raises:
            NonFiniteError: logits or log-probabilities are infinite or not a number.
        """
        ...

    def forget(self) -> None:
        """Drops what is kept between calls; later results differ by rounding at most."""
        return


class Scorer(Protocol):
    """What knows the log-probabilities of given tokens: a learner, or the reference that it is kept close to."""

    def logprobs(
        self, sequences: Sequence[TokenSequence], *, temperature: float = 1.0, truncation: Truncation = WHOLE
    ) -> list[torch.Tensor]:
        """Log-probability of every sampled token, with gradients where autograd is on.

        They are those of the distribution that `sample` draws from. Under a truncation, a token that the weights of
        now would leave out counts as kept.

        Returns:
            One float32 tensor per sequence, of shape (number of True in `sampled`,).
        """
        ...

    def plan(self, sequences: Sequence[TokenSequence], *, tokens: int) -> tuple[Pass, ...]:
        """Which sequences are best scored together.

        Args:
            sequences: what is to be scored.
            tokens: most tokens of a pass; what cannot be divided may exceed it.

        Returns:
            Passes in which every sequence stands once.
        """
        return plan_rows(sequences, tokens=tokens)

    def forget(self) -> None:
        """Drops what is kept between calls; later results differ by rounding at most."""
        return


class Learner(Scorer, Protocol):
    """What learns: log-probabilities with gradients, and the weights behind them."""

    @property
    def version(self) -> int:
        """Counts the updates of the weights."""
        ...

    def advance_version(self) -> None:
        """Says that the weights have changed: what was kept of the old ones is dropped."""
        ...

    def trainable_parameters(self) -> list[torch.nn.Parameter]:
        """The parameters that an optimizer updates, in a fixed order."""
        ...

    def reference(self) -> Scorer:
        """A scorer that stays as this learner is now."""
        ...

    def save(self, folder: str | Path) -> None:
        """Writes the weights, with everything that loads them again, as a folder; replaces one that is there."""
        ...


@runtime_checkable
class Follower(Protocol):
    """What a sampler is beside, whose weights are a learner's somewhere else."""

    def stage(self, learner: Learner) -> None:
        """Takes over the learner's weights as they are now, without sampling with them yet.

        It may be called while turns are sampled elsewhere; the learner must not be updated meanwhile.
        """
        ...

    def adopt(self) -> None:
        """Samples with the weights that were staged last from now on, and has their version; waits for turns that are
        under way.

        Raises:
            InfrastructureFault: nothing that samples could be reached.
        """
        ...


class TextAgent(Protocol):
    """An agent that writes text: scripted experts, remote chat models, people, ten-line policies."""

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """The next assistant turn.

        Args:
            observation: what the environment just said: `{"text": str, "images": tuple of uint8 (H, W, 3)}`.
            state: the whole episode so far, for agents that look beyond the last observation.
        """
        ...
