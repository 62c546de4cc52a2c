"""Defines `QuestionPool`, which reuses drawn questions a few times, since drawing one costs more than showing it."""

from __future__ import annotations

import numpy as np

from axpo_envs.questions.sources import QuestionSource
from axpo_envs.types import Question


class QuestionPool:
    """Draws questions of a source at random; each is handed out a fixed number of times, then replaced.

    Args:
        source: where new questions come from, by index from 0 on (a finite source is gone through again).
        rng: decides which question of the pool is next.
        size: questions kept at a time.
        uses: how often a question is handed out before it is replaced.
        first: index of the first question taken from the source.
    """

    def __init__(
        self, source: QuestionSource, rng: np.random.Generator, *, size: int, uses: int, first: int = 0
    ) -> None:
        self._source = source
        self._rng = rng
        self._size = size
        self._uses = uses
        self._next = first
        self._pool: list[tuple[Question, int]] = []

    def draw(self) -> Question:
        """The next question."""
        if len(self._pool) < self._size:
            place = len(self._pool)
            self._pool.append((self._fresh(), self._uses))
        else:
            place = int(self._rng.integers(self._size))
            if self._pool[place][1] == 0:
                self._pool[place] = (self._fresh(), self._uses)
        question, left = self._pool[place]
        self._pool[place] = (question, left - 1)
        return question

    def _fresh(self) -> Question:
        index = self._next if self._source.size is None else self._next % self._source.size
        self._next += 1
        return self._source.question(index)
