"""Defines `TokenRules`: which ids a server may sample, and how what it wrote becomes a turn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from axpo_agents.policy import Sampled
from axpo_agents.remote._messages import AnswerError, Choice
from axpo_agents.types import FinishReason

_NEVER: Final = -100.0
"""Bias of ids that are never sampled: the lowest that OpenAI's API allows leaves them 4e-44 of their probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Which ids are sampled, and which end a turn."""

    stop_ids: tuple[int, ...]
    """Ids that end a turn."""
    forbidden: frozenset[int]
    """Ids that are never sampled."""
    vocabulary: int
    """Ids from here on are none."""

    def bias(self, forbidden: Iterable[int] = ()) -> dict[int, float]:
        """What keeps ids from being sampled: those that never are, and others that are forbidden for now."""
        return dict.fromkeys(sorted({*self.forbidden, *forbidden}), _NEVER)

    def turn(self, choice: Choice, *, limit: int) -> Sampled:
        """The turn that a server wrote, up to its end-of-turn token.

        Args:
            choice: what it wrote.
            limit: most tokens that were asked for.

        Raises:
            AnswerError: it holds what was never to be sampled, is too long, or ended in an unknown way.
        """
        stops = frozenset(self.stop_ids)
        end = next((place for place, token in enumerate(choice.ids, start=1) if token in stops), None)
        ids, logprobs = choice.ids[:end], choice.logprobs[:end]
        for token in ids:
            if token in self.forbidden or not 0 <= token < self.vocabulary:
                raise AnswerError(f"holds the token {token}, which is never to be sampled; `logit_bias` was ignored")
        if len(ids) > limit:
            raise AnswerError(f"is {len(ids)} tokens long; expected at most {limit}")
        if end is None and choice.finish != FinishReason.LENGTH:
            raise AnswerError(
                f"ended ({choice.finish!r}) with token {ids[-1]}; expected one of {self.stop_ids} at the end of a turn"
            )
        return Sampled(ids=ids, logprobs=logprobs, finish=FinishReason.STOP if end else FinishReason.LENGTH)
