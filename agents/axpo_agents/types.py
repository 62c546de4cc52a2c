"""Defines what a policy reads and writes on the token level: contexts, completions, sequences and rollouts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from axpo_envs.images import ImageRef
from axpo_envs.snapshot import Snapshot
from axpo_envs.types import Episode


class FinishReason(StrEnum):
    """Why the policy stopped writing a turn."""

    STOP = "stop"
    """It sampled its end-of-turn token."""
    LENGTH = "length"
    """It reached a token limit; the environment does not execute the turn."""


class Span(NamedTuple):
    """A half-open range of token positions."""

    start: int
    """First position."""
    stop: int
    """One past the last position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Tokens that were given, not sampled: a prompt or an observation."""

    ids: tuple[int, ...]
    """Token ids, image placeholders expanded."""
    images: tuple[ImageRef, ...] = ()
    """The images as shown to the model, in the order of their placeholders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSequence:
    """Tokens as a model reads them.

    Worked value: the prompt `[7, 8]` followed by the sampled `[3, 4]` has ids (7, 8, 3, 4), sampled
    (False, False, True, True) and log-probabilities (0.0, 0.0, -0.5, -1.2).
    """

    ids: tuple[int, ...]
    """Token ids, contexts and turns interleaved."""
    images: tuple[ImageRef, ...] = ()
    """Images in the order of their placeholders in `ids`."""
    sampled: tuple[bool, ...]
    """True where the policy sampled the token; same length as `ids`."""
    logprobs: tuple[float, ...]
    """Log-probability under the sampling policy; 0.0 where not sampled; same length as `ids`."""

    @classmethod
    def of(cls, completions: Iterable[Completion], *, then: Context | None = None) -> TokenSequence:
        """Turns with their contexts end to end, and after them the context of a turn yet to come."""
        ids: list[int] = []
        images: list[ImageRef] = []
        sampled: list[bool] = []
        logprobs: list[float] = []
        for completion in completions:
            context = completion.context
            ids += [*context.ids, *completion.ids]
            images += context.images
            sampled += [False] * len(context.ids) + [True] * len(completion.ids)
            logprobs += [0.0] * len(context.ids) + list(completion.logprobs)
        if then is not None:
            ids += then.ids
            images += then.images
            sampled += [False] * len(then.ids)
            logprobs += [0.0] * len(then.ids)
        return cls(ids=tuple(ids), images=tuple(images), sampled=tuple(sampled), logprobs=tuple(logprobs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One assistant turn on the token level, with the context that was added before it."""

    context: Context
    """What was added since the last turn: the prompt for the first turn, an observation later."""
    ids: tuple[int, ...]
    """Sampled token ids, end-of-turn token included if it was sampled."""
    logprobs: tuple[float, ...]
    """Natural-log probability of each sampled token under the sampling policy at its temperature."""
    forced: int = 0
    """How many leading `ids` were a frozen prefix (with the log-probabilities of its source)."""
    thinking: Span | None = None
    """The thinking span within `ids`, tags included; None if the turn has none."""
    call: Span | None = None
    """The first tool call outside the thinking span, both tags included (to the end if unclosed); None without one."""
    cut: int | None = None
    """Number of leading `ids` up to and including the opening tag of that call: where AXPO branches."""
    finish: FinishReason
    """Why the turn ended."""
    policy_version: int
    """Version of the weights that sampled it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A finished episode together with the tokens that made it."""

    episode: Episode
    """What happened in the environment."""
    completions: tuple[Completion, ...]
    """One per turn; empty for agents that write text without tokens."""
    snapshots: tuple[Snapshot, ...]
    """The moment before each turn; as many as turns."""

    @property
    def reward(self) -> float:
        """The episode's reward."""
        return self.episode.reward

    @property
    def used_tool(self) -> bool:
        """It opened at least one tool call outside the thinking span."""
        return self.episode.used_tool

    def turn_offset(self, turn: int) -> int:
        """Position of the first sampled token of a turn within `sequence().ids`."""
        before = self.completions[:turn]
        return sum(len(c.context.ids) + len(c.ids) for c in before) + len(self.completions[turn].context.ids)

    def sequence(self) -> TokenSequence:
        """The whole rollout as one token sequence."""
        return TokenSequence.of(self.completions)

    def __iter__(self) -> Iterator[Completion]:
        return iter(self.completions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """Which tokens a distribution is restricted to; its probabilities then add up to 1 again."""

    top_k: int = 0
    """The most probable ones, so many; 0 for all."""
    top_p: float = 1.0
    """Of these, the fewest most probable ones that have at least this probability together."""


WHOLE: Final = Truncation()
"""No restriction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How turns are sampled."""

    temperature: float = 1.0
    """Divides the logits; 0.0 takes the most probable token."""
    truncation: Truncation = WHOLE
    """What the tempered distribution is restricted to."""
    forbidden: tuple[int, ...] = ()
    """Ids that are not sampled; the others' probabilities add up to 1 without them, before any truncation."""
    presence_penalty: float = 0.0
    """Taken from the logits of every id that the turn has sampled so far, before the temperature. Frozen tokens and
    earlier turns do not count: to a server they are the prompt. Recorded log-probabilities are those of what this
    leaves, which scoring does not know: it is for evaluation, not for training."""
    max_turn_tokens: int = 1024
    """Limit for one turn, forced tokens included."""
    max_episode_tokens: int = 16384
    """Limit for a whole episode, contexts included."""
