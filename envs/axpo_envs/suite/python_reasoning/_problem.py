"""Defines `Problem`, the truth behind a question: what stands in its figure, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias

import numpy as np

from axpo_envs.suite.python_reasoning._drawing import Figure

Reading: TypeAlias = int | tuple[int, ...] | tuple[str, ...]

PLACES: Final = 2
"""Decimals to which answers are rounded that have more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A question about a figure, with everything that an expert reads off it."""

    kind: str
    """What is asked, by the name of its maker; questions of a kind differ in their figures."""
    text: str
    """The question; it holds no number."""
    figure: Figure
    """What is drawn: every reading can be seen there."""
    readings: tuple[tuple[str, Reading], ...]
    """What is to be read off the figure, by the names that the program uses."""
    program: str
    """Python that prints the answer, where the readings are variables."""
    answer: Fraction
    """The answer, exact or to more decimals than are asked for."""

    @property
    def code(self) -> str:
        """The readings as assignments, and the program."""
        return "\n".join((*(f"{name} = {value!r}" for name, value in self.readings), self.program))

    @property
    def written(self) -> str:
        """The answer as a reference has it: a whole number, or rounded to two decimals."""
        if self.answer.denominator == 1:
            return str(self.answer.numerator)
        return f"{float(round(self.answer, PLACES)):.{PLACES}f}"


Maker: TypeAlias = Callable[[np.random.Generator], Problem]
"""Makes a problem of one kind."""

ROUNDED: Final = " Round to two decimals."
"""Ends a question whose answer may have more."""


def pick(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number, both ends included."""
    return int(rng.integers(low, high + 1))


def some(rng: np.random.Generator, words: tuple[str, ...], count: int) -> tuple[str, ...]:
    """So many different words, in random order."""
    return tuple(words[int(place)] for place in rng.permutation(len(words))[:count])
