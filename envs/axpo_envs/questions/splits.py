"""Defines `Split`, and `SplitQuestions`, the base of sources that make questions for an endless split and two more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum

import numpy as np

from axpo_envs.types import Question


class Split(StrEnum):
    """Which questions are asked. What questions are made of is never shared by two splits."""

    TRAIN = "train"
    """Infinitely many."""
    VALIDATION = "validation"
    """A fixed number, for choosing settings."""
    TEST = "test"
    """A fixed number of others, for final figures."""


class SplitQuestions(ABC):
    """A question source without an end for `train`, of a fixed number otherwise.

    The id of a question names its split and index, `train/12345`.

    Args:
        split: which questions.
        held_out: number of questions of the validation split and of the test split; fewer are the first of more.
    """

    def __init__(self, split: Split, held_out: int) -> None:
        self._split = split
        self._held_out = held_out

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the split and every setting that changes its questions."""

    @abstractmethod
    def _question(self, index: int) -> Question:
        """The question of an index that there is."""

    @property
    def size(self) -> int | None:
        """Number of questions; None for the endless `train`."""
        return None if self._split is Split.TRAIN else self._held_out

    def __len__(self) -> int:
        """Number of questions.

        Raises:
            TypeError: they have no end.
        """
        if self.size is None:
            raise TypeError(f"the {self._split} questions have no end, hence no length")
        return self.size

    def __bool__(self) -> bool:
        """True: there are questions."""
        return True

    def question(self, index: int) -> Question:
        """The question of that index.

        Raises:
            IndexError: there is none.
        """
        if index < 0 or (self.size is not None and index >= self.size):
            known = "from 0" if self.size is None else f"0 to {self.size - 1}"
            raise IndexError(f"the {self._split} questions have indices {known}; got {index}")
        return self._question(index)

    def _id(self, index: int) -> str:
        return f"{self._split}/{index}"

    def _index_of(self, question: Question) -> int:
        """The index of one of these questions, also if it was asked by a subset of them.

        Raises:
            ValueError: the question is from another source.
        """
        if not f"{question.source}/".startswith(f"{self.fingerprint}/"):
            raise ValueError(f"expected a question of {self.fingerprint}; got {question.id!r} of {question.source!r}")
        return int(question.id.rpartition("/")[2])

    def _generator(self, entropy: int, index: int) -> np.random.Generator:
        """Random numbers for one question: those of two splits, or of two indices, are independent."""
        split = tuple(Split).index(self._split)
        return np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(split, index)))
