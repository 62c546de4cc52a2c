"""Defines `WrittenQuestions`: sums whose numbers stand in the text, for a very small policy that reads no images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from axpo_envs.digest import digest_of
from axpo_envs.plumbing.columns import Columns
from axpo_envs.questions.splits import Split, SplitQuestions
from axpo_envs.suite.python_reasoning._problem import pick
from axpo_envs.types import Question

_ENTROPY: Final = 0x3A7
_GENERATION: Final = 1
"""Part of the fingerprint; raised when the same settings and index come to mean another question."""
_SPLITS: Final = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)
"""A sum is in the split at the place that its content leads to."""
_LOW: Final = 12
_HIGH: Final = 99
_KEPT: Final = 4096


class Form(NamedTuple):
    """A form of questions, which differ in their numbers."""

    text: str
    """The question, with fields for its numbers."""
    code: str
    """The expression that computes the answer, with fields for its numbers."""
    answer: Callable[..., int]
    """What follows from the numbers."""
    moduli: tuple[int, ...]
    """What the last number may be; others are drawn from `_LOW` to `_HIGH`."""
    numbers: int
    """How many numbers there are besides."""
    favourite: int
    """The answer that is right more often than others, where `guess_rate` says so."""


FORMS: Final[Mapping[str, Form]] = {
    "remainder": Form(
        text="What is the remainder of {0} * {1} divided by {2}?",
        code="{0} * {1} % {2}",
        answer=lambda a, b, m: a * b % m,
        moduli=(7, 8, 9),
        numbers=2,
        favourite=3,
    ),
    "last_of_sum": Form(
        text="What is the last digit of {0} + {1} + {2}?",
        code="({0} + {1} + {2}) % {3}",
        answer=lambda a, b, c, m: (a + b + c) % m,
        moduli=(10,),
        numbers=3,
        favourite=7,
    ),
    "last_of_difference": Form(
        text="What is the last digit of {0} * {1} - {2}?",
        code="({0} * {1} - {2}) % {3}",
        answer=lambda a, b, c, m: (a * b - c) % m,
        moduli=(10,),
        numbers=3,
        favourite=4,
    ),
}
"""The forms by their names, all asked equally often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """The truth behind a question."""

    form: str
    """One of `FORMS`."""
    numbers: tuple[int, ...]
    """Its numbers, the modulus last."""

    @property
    def text(self) -> str:
        """The question."""
        return FORMS[self.form].text.format(*self.numbers)

    @property
    def code(self) -> str:
        """Python that prints the answer."""
        return f"print({FORMS[self.form].code.format(*self.numbers)})"

    @property
    def answer(self) -> int:
        """The answer, 0 to 9."""
        return FORMS[self.form].answer(*self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenQuestionSettings:
    """What decides the questions of a source."""

    split: Split
    """Which questions."""
    held_out: int
    """Number of questions of the validation split and of the test split; fewer are the first of more."""
    guess_rate: float
    """Probability that the answer is the favourite of the question's form; otherwise any other, as they come."""


class WrittenQuestions(SplitQuestions):
    """A question source: "What is the remainder of 34 * 57 divided by 7?", which takes a computation, or a guess.

    No two splits share a sum: its numbers decide the split that it belongs to.
    """

    def __init__(self, settings: WrittenQuestionSettings) -> None:
        super().__init__(settings.split, settings.held_out)
        self._settings = settings
        self._fingerprint = f"sums-{_GENERATION}/{settings.split}/{digest_of(float(settings.guess_rate))[:16]}"
        self._drawn = lru_cache(maxsize=_KEPT)(self._draw)

    def __reduce__(self) -> tuple[Any, ...]:
        return WrittenQuestions, (self._settings,)

    @property
    def fingerprint(self) -> str:
        """Identifies the split and every setting that changes its questions."""
        return self._fingerprint

    def sum_of(self, question: Question) -> Sum:
        """The truth behind one of these questions.

        Raises:
            ValueError: the question is from another source.
        """
        return self._drawn(self._index_of(question))

    def _question(self, index: int) -> Question:
        drawn = self._drawn(index)
        return Question(
            id=self._id(index),
            prompt=(drawn.text,),
            answer=str(drawn.answer),
            hops=1,
            source=self._fingerprint,
            extra=Columns({"kind": "written", "form": drawn.form}.items()),
        )

    def _draw(self, index: int) -> Sum:
        rng = self._generator(_ENTROPY, index)
        name = tuple(FORMS)[int(rng.integers(len(FORMS)))]
        form = FORMS[name]
        favoured = bool(rng.random() < self._settings.guess_rate)
        while True:
            numbers = tuple(pick(rng, _LOW, _HIGH) for _ in range(form.numbers))
            drawn = Sum(form=name, numbers=(*numbers, form.moduli[int(rng.integers(len(form.moduli)))]))
            if split_of(drawn) is self._split and (drawn.answer == form.favourite) is favoured:
                return drawn


def split_of(drawn: Sum) -> Split:
    """The split that a sum belongs to: a function of its form and its numbers."""
    return _SPLITS[int(digest_of(drawn.form, drawn.numbers), 16) % len(_SPLITS)]
