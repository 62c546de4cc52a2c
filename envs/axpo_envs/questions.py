"""Defines `QuestionSource`, where an environment's questions come from, and `ListQuestions`, a finite list of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol, runtime_checkable

from axpo_envs.digest import digest_of, question_fields
from axpo_envs.errors import EnvConfigError
from axpo_envs.types import Question


@runtime_checkable
class QuestionSource(Protocol):
    """Makes questions by number, the same one for the same number every time."""

    @property
    def fingerprint(self) -> str:
        """Identifies the source and every setting that changes its questions; `Question.source` equals it."""
        ...

    @property
    def size(self) -> int | None:
        """Number of questions; None for an infinite source."""
        ...

    def question(self, index: int) -> Question:
        """The question of that number, 0 <= index (< size).

        Raises:
            IndexError: there is no such question.
        """
        ...


class ListQuestions:
    """A finite source that holds its questions.

    Args:
        questions: at least one; their `source` is replaced by this source's fingerprint.

    Raises:
        EnvConfigError: there is no question, or two share an id.
    """

    __slots__ = ("_fingerprint", "_questions")

    def __init__(self, questions: Iterable[Question]) -> None:
        given = tuple(questions)
        if not given:
            raise EnvConfigError("expected at least one question; got none")
        seen: set[str] = set()
        for question in given:
            if question.id in seen:
                raise EnvConfigError(f"question ids must be unique; got {question.id!r} twice")
            seen.add(question.id)
        self._fingerprint = "list:" + digest_of(*(question_fields(question) for question in given))
        self._questions = tuple(replace(question, source=self._fingerprint) for question in given)

    @property
    def fingerprint(self) -> str:
        """Hash over every question: id, prompt with its images' pixels, answer, hops and labels."""
        return self._fingerprint

    @property
    def size(self) -> int:
        """Number of questions."""
        return len(self._questions)

    def __len__(self) -> int:
        """Number of questions."""
        return len(self._questions)

    def question(self, index: int) -> Question:
        """The question at that place.

        Raises:
            IndexError: there is no such question.
        """
        if not 0 <= index < len(self._questions):
            raise IndexError(f"expected a question index from 0 to {len(self._questions) - 1}; got {index}")
        return self._questions[index]
