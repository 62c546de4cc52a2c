"""Defines `FigureQuestions`: an endless or a fixed sequence of questions, each about a figure of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.columns import Columns
from axpo_envs.plumbing.knobs import check_choice, check_split
from axpo_envs.questions.splits import Split, SplitQuestions
from axpo_envs.suite.python_reasoning._drawing import draw_figure
from axpo_envs.suite.python_reasoning._problem import Problem
from axpo_envs.suite.python_reasoning.families import FAMILIES
from axpo_envs.types import Question

_ENTROPY: Final = 0x9E0
_GENERATION: Final = 1
"""Part of the fingerprint; raised when the same settings and index come to mean another question."""
_CACHE_BYTES: Final = 256 * 2**20
_MOST_KEPT: Final = 1024
_SPLITS: Final = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)
"""A problem is in the split at the place that its content leads to, whoever draws it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureQuestionSettings:
    """What decides the questions of a source.

    Raises:
        EnvConfigError: there is no such split or no such family.
    """

    split: Split = Split.TRAIN
    """Which questions."""
    held_out: int = 1000
    """Number of questions of the validation split and of the test split; fewer are the first of more."""
    families: tuple[str, ...] = tuple(FAMILIES)
    """Families of the questions, all equally often."""
    image_size: int = 560
    """Longer side of a figure in pixels."""

    def __post_init__(self) -> None:
        check_split(self.split, Split)
        object.__setattr__(self, "split", Split(self.split))
        if not self.families:
            raise EnvConfigError(f"families must be some of {', '.join(FAMILIES)}; got none")
        for family in self.families:
            check_choice("families", family, tuple(FAMILIES))


class FigureQuestions(SplitQuestions):
    """A question source: "How much does one orange box weigh?", beside a drawn balance with numbers on its weights.

    No two splits share a problem: what stands in the figure decides the split that it belongs to. Drawn questions are
    kept while they fit a quarter of a gigabyte, so that the rollouts of a group share one image.

    Args:
        settings: what decides the questions.
    """

    def __init__(self, settings: FigureQuestionSettings = FigureQuestionSettings()) -> None:
        super().__init__(settings.split, settings.held_out)
        self._settings = settings
        deciding = digest_of(settings.families, settings.image_size)
        self._fingerprint = f"figures-{_GENERATION}/{settings.split}/{deciding[:16]}"
        kept = max(1, min(_MOST_KEPT, _CACHE_BYTES // (3 * settings.image_size**2)))
        self._drawn = lru_cache(maxsize=kept)(self._draw)

    def __reduce__(self) -> tuple[Any, ...]:
        # The copy draws its own figures.
        return FigureQuestions, (self._settings,)

    @property
    def fingerprint(self) -> str:
        """Identifies the split and every setting that changes its questions."""
        return self._fingerprint

    def problem(self, index: int) -> tuple[str, Problem]:
        """The family and the truth of the question of an index, which is not drawn."""
        rng = self._generator(_ENTROPY, index)
        families = self._settings.families
        family = families[int(rng.integers(len(families)))]
        kinds = FAMILIES[family]
        make = kinds[int(rng.integers(len(kinds)))]
        while True:
            problem = make(rng)
            if split_of(problem) is self._split:
                return family, problem

    def problem_of(self, question: Question) -> Problem:
        """The truth behind one of these questions.

        Raises:
            ValueError: the question is from another source.
        """
        return self.problem(self._index_of(question))[1]

    def _question(self, index: int) -> Question:
        return self._drawn(index)

    def _draw(self, index: int) -> Question:
        family, problem = self.problem(index)
        return Question(
            id=self._id(index),
            prompt=(draw_figure(problem.figure, self._settings.image_size), problem.text),
            answer=problem.written,
            source=self._fingerprint,
            extra=Columns({"kind": family, "form": problem.kind}.items()),
        )


def split_of(problem: Problem) -> Split:
    """The split that a problem belongs to: a function of its kind and of what is read off its figure."""
    content = digest_of(problem.kind, problem.readings)
    return _SPLITS[int(content, 16) % len(_SPLITS)]
