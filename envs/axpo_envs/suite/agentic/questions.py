"""Defines `MixedQuestions`, which draws each question from one of several sources, and the reward that goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from axpo_envs.digest import digest_of
from axpo_envs.plumbing.columns import Columns
from axpo_envs.questions.sources import QuestionSource
from axpo_envs.questions.splits import Split, SplitQuestions
from axpo_envs.rewards.reward import Reward
from axpo_envs.types import EpisodeState, Question, RewardTerm

FAMILY: Final = "family"
"""The column of a question that names its family."""

_ENTROPY: Final = 0xA6E7
_GENERATION: Final = 1
"""Part of the fingerprint; raised when the same settings and index come to mean another question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A source of a mixture."""

    family: str
    """Name of its questions' family."""
    weight: float
    """How often it is drawn, relative to the others."""
    questions: QuestionSource
    """The source; it has as many questions as the mixture."""


class MixedQuestions(SplitQuestions):
    """A question source that draws from others: question i is question i of a source that i alone decides.

    Args:
        split: which questions.
        held_out: number of questions of the validation split and of the test split.
        parts: the sources, at least one.
    """

    def __init__(self, split: Split, held_out: int, parts: tuple[Part, ...]) -> None:
        super().__init__(split, held_out)
        self._parts = parts
        weights = np.array([part.weight for part in parts])
        self._limits = np.cumsum(weights / weights.sum())
        deciding = digest_of(*((part.family, part.weight, part.questions.fingerprint) for part in parts))
        self._fingerprint = f"agentic-{_GENERATION}/{split}/{deciding[:16]}"

    @property
    def fingerprint(self) -> str:
        """Identifies the split, the sources and their weights."""
        return self._fingerprint

    def origin_of(self, question: Question) -> tuple[str, Question]:
        """The family of one of these questions, and the question as that family's source knows it.

        Raises:
            ValueError: the question is from another source.
        """
        index = self._index_of(question)
        part = self._part(index)
        return part.family, part.questions.question(index)

    def _question(self, index: int) -> Question:
        part = self._part(index)
        original = part.questions.question(index)
        extra = Columns({**original.extra, FAMILY: part.family}.items())
        return replace(original, id=self._id(index), source=self._fingerprint, extra=extra)

    def _part(self, index: int) -> Part:
        drawn = self._generator(_ENTROPY, index).random()
        # Rounding may leave the last limit below 1.
        return self._parts[min(int(np.searchsorted(self._limits, drawn, side="right")), len(self._parts) - 1)]


class RewardByFamily:
    """Scores each question by its family's reward.

    Args:
        rewards: the reward of every family.
    """

    __slots__ = ("rewards",)

    def __init__(self, rewards: Mapping[str, Reward]) -> None:
        self.rewards = rewards

    def __call__(self, question: Question, answer: str | None, state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """The terms of the family's reward."""
        return self.rewards[question.extra[FAMILY]](question, answer, state)
