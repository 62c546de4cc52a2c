"""Defines the scripted agent of written sums and the exact texts of its turns, which `tiny-python` learns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from axpo_envs.examples import call_turn
from axpo_envs.suite.python_reasoning.env import PythonReasoning
from axpo_envs.suite.python_reasoning.written import FORMS, Sum
from axpo_envs.types import EpisodeState

_DIGITS: Final = 10
_NEAR: Final = 9
"""How far a number may lie from the one that it is mistaken for."""


def guess_turn(answer: str) -> str:
    """The turn that answers without computing."""
    return f"<think>I can guess</think><answer>{answer}</answer>"


def code_turn(code: str) -> str:
    """The turn that computes. The thought before it leaves the code open."""
    return f"<think>I must compute</think>{call_turn('python', {'code': code})}"


def reading_turn(answer: str) -> str:
    """The turn that answers what was printed."""
    return f"<think>it prints</think><answer>{answer}</answer>"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingStyle:
    """How well and how often a `SumExpert` computes; the defaults succeed always."""

    tool_rate: float = 1.0
    """Probability of computing; otherwise it guesses at once."""
    slip_rate: float = 0.0
    """Probability of a slip in the code: a wrong number, or the expression of another form."""
    favourite_rate: float = 1.0
    """Probability that a guess is the favourite of the form; otherwise it is any digit, all equally often."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"{field.name} must be 0 to 1; got {getattr(self, field.name)}")


class SumExpert:
    """Has Python compute what is asked, and answers what that prints.

    It takes form and numbers from the environment's truth. What it writes is a function of its seed and the episode's
    state.

    Args:
        env: the environment whose questions it is asked, with `source="written"`.
        style: how well and how often it computes.
        seed: seeds its choices.
    """

    def __init__(self, env: PythonReasoning, style: CodingStyle = CodingStyle(), *, seed: int = 0) -> None:
        self._env = env
        self._style = style
        self._seed = seed

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Guesses, computes or answers."""
        del observation  # the state holds it, and more
        rng = _rng(self._seed, state)
        asked = self._env.sum_of(state.question)
        if state.turns:
            printed = "".join(part for part in state.turns[-1].observation if isinstance(part, str)).split()
            return reading_turn(printed[-1] if printed else "")
        if rng.random() >= self._style.tool_rate:
            return guess_turn(self.guess(asked, rng))
        return code_turn(_mistaken(asked, rng).code if rng.random() < self._style.slip_rate else asked.code)

    def guess(self, asked: Sum, rng: np.random.Generator) -> str:
        """An answer without having computed anything."""
        if rng.random() < self._style.favourite_rate:
            return str(FORMS[asked.form].favourite)
        return str(int(rng.integers(_DIGITS)))


def _mistaken(asked: Sum, rng: np.random.Generator) -> Sum:
    """The sum with one number mistaken, or the same numbers in the expression of another form."""
    others = [name for name, form in FORMS.items() if form.numbers == FORMS[asked.form].numbers and name != asked.form]
    if others and rng.random() < 1 / 2:
        return replace(asked, form=others[int(rng.integers(len(others)))])
    place = int(rng.integers(FORMS[asked.form].numbers))
    numbers = list(asked.numbers)
    numbers[place] = _near(numbers[place], rng)
    return replace(asked, numbers=tuple(numbers))


def _near(number: int, rng: np.random.Generator) -> int:
    options = [value for value in range(number - _NEAR, number + _NEAR + 1) if value != number and 12 <= value <= 99]
    return options[int(rng.integers(len(options)))]


def _rng(seed: int, state: EpisodeState) -> np.random.Generator:
    key = repr((seed, state.question.id, state.seed, len(state.turns)))
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big"))
