"""Defines `CreditedRow`, a rollout with its advantages as trainers with padded rows take it: a prompt and a completion.

Trainers that know one advantage per row, or one per token, get both from here; which tokens are trained is a mask, as
for the results of tools.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from axpo.algorithm.types import Advantage
from axpo_envs.images import ImageRef


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditedRow:
    """A rollout, or a continuation with its frozen prefix, and how each of its tokens is trained.

    Worked value: the prompt (7, 8), the thought and call (3, 4), the result (9), the answer (5), credited with -0.5 up
    to the cut behind 3: completion (3, 4, 9, 5), trained (True, False, False, False), advantages (-0.5, 0, 0, 0).
    """

    prompt: tuple[int, ...]
    """Ids before the first turn."""
    completion: tuple[int, ...]
    """All ids from the first turn on, results of tools included."""
    trained: tuple[bool, ...]
    """Which tokens of the completion the advantage applies to: sampled ones within its stretch."""
    advantage: float
    """The advantage of those."""
    logprobs: tuple[float, ...]
    """Log-probabilities of the completion's tokens when they were sampled; 0.0 for those that were not."""
    images: tuple[ImageRef, ...]
    """Images of prompt and results, in the order of their placeholders."""
    group: int
    """Index of the question's group: rows of a source and of its continuations share it."""

    @property
    def advantages(self) -> tuple[float, ...]:
        """One for every token of the completion; 0.0 where none applies."""
        return tuple(self.advantage if trained else 0.0 for trained in self.trained)


def credited_rows(advantages: Iterable[Advantage]) -> tuple[CreditedRow, ...]:
    """A row for every advantage, in their order; a source's tokens behind its cut stay in it and are not trained."""
    return tuple(map(_row, advantages))


def _row(advantage: Advantage) -> CreditedRow:
    sequence = advantage.rollout.sequence()
    first = advantage.rollout.turn_offset(0)
    covered = range(advantage.start, advantage.stop)
    return CreditedRow(
        prompt=sequence.ids[:first],
        completion=sequence.ids[first:],
        trained=tuple(
            sampled and place in covered for place, sampled in enumerate(sequence.sampled[first:], start=first)
        ),
        advantage=advantage.value,
        logprobs=sequence.logprobs[first:],
        images=sequence.images,
        group=advantage.group,
    )
