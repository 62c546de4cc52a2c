"""Defines `QuestionSource`, where an environment's questions come from, `ListQuestions`, a finite list of them, and
`QuestionSubset`, some of another source's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


@runtime_checkable
class KnowsContents(Protocol):
    """A source that tells what a question asks without making it, for instance without decoding its images."""

    def content(self, index: int) -> str:
        """A hash that is equal where questions ask the same: text, white space and case aside, and images."""
        ...


def content_of(source: QuestionSource, index: int) -> str:
    """What the question of that number asks, as a hash (see `KnowsContents.content`); its answer has no part in it."""
    if isinstance(source, KnowsContents):
        return source.content(index)
    question = source.question(index)
    return content_hash(question.text, [image.digest for image in question.images])


def content_hash(text: str, images: Sequence[str]) -> str:
    """The hash of a text, white space and case aside, and of its images' digests."""
    return digest_of("content", " ".join(text.casefold().split()), tuple(images))


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


class QuestionSubset:
    """Some questions of another source, under a fingerprint of its own.

    Args:
        source: the other source.
        indices: their numbers there, at least one; a range without an end is written by `endless_from`.
        endless_from: takes every number from this one on, instead.

    Raises:
        EnvConfigError: there is no question.
    """

    def __init__(self, source: QuestionSource, indices: Sequence[int] = (), *, endless_from: int | None = None) -> None:
        if not indices and endless_from is None:
            raise EnvConfigError(f"expected at least one question of {source.fingerprint}; got none")
        self._source = source
        self._indices = indices if isinstance(indices, range) else tuple(indices)
        self._first = endless_from
        chosen = (self._indices.start, self._indices.stop) if isinstance(self._indices, range) else self._indices
        self._fingerprint = f"{source.fingerprint}/{digest_of(chosen, endless_from)}"

    @property
    def fingerprint(self) -> str:
        """That of the source with a hash of the chosen numbers."""
        return self._fingerprint

    @property
    def size(self) -> int | None:
        """Number of questions; None without an end."""
        return len(self._indices) if self._first is None else None

    def __len__(self) -> int:
        """Number of questions.

        Raises:
            TypeError: they have no end.
        """
        if self.size is None:
            raise TypeError(f"the questions of {self._fingerprint} have no end, hence no length")
        return self.size

    @property
    def chosen(self) -> tuple[Sequence[int], int | None]:
        """What was chosen: numbers, and the number from which on every one is."""
        return self._indices, self._first

    def question(self, index: int) -> Question:
        """The question at that place.

        Raises:
            IndexError: there is no such question.
        """
        return replace(self._source.question(self._at(index)), source=self._fingerprint)

    def content(self, index: int) -> str:
        """What the question at that place asks."""
        return content_of(self._source, self._at(index))

    def _at(self, index: int) -> int:
        if self._first is not None and index >= 0:
            return self._first + index
        if not 0 <= index < len(self._indices):
            raise IndexError(f"expected a question index from 0 to {len(self._indices) - 1}; got {index}")
        return self._indices[index]
