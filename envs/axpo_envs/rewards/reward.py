"""Defines `Reward`, which scores the end of an episode in named terms, and the rewards that most questions need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, TypeAlias

from axpo_envs.errors import EnvConfigError, InfrastructureFault, RewardFault
from axpo_envs.rewards._answer_text import normalize_answer
from axpo_envs.types import EpisodeState, Question, RewardTerm

ScoreFunction: TypeAlias = Callable[[Question, str, EpisodeState], float]
"""Scores a given answer: (question, answer, state at the end) to a finite number."""


class Reward(Protocol):
    """Scores a finished episode; the episode's reward is the sum of the terms."""

    def __call__(self, question: Question, answer: str | None, state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """The terms of the reward.

        Args:
            question: the question with its reference answer.
            answer: the final answer; None where the episode ended without one.
            state: the state at the end: every turn, and why it ended.
        """
        ...


class ExactMatch:
    """1 where the normalized answer equals a reference's normalized text, else 0 (also without an answer).

    What `normalize_answer` folds is typography and case; whatever carries meaning stays.

    Args:
        name: name of the term.
    """

    __slots__ = ("name",)

    def __init__(self, name: str = "correct") -> None:
        self.name = name

    def __call__(self, question: Question, answer: str | None, _state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term of 0.0 or 1.0."""
        value = best_of(question, answer, lambda one, other: normalize_answer(one) == normalize_answer(other))
        return (RewardTerm(name=self.name, value=value),)


class FunctionReward:
    """A reward made of a plain function; episodes without an answer score 0 and never reach it.

    Args:
        function: (question, answer, state) to a finite number or a truth value.
        name: name of the term; the function's own name by default.
    """

    __slots__ = ("function", "name")

    def __init__(self, function: ScoreFunction, *, name: str | None = None) -> None:
        self.function = function
        self.name: str = name if name is not None else getattr(function, "__name__", type(function).__name__)

    def __call__(self, question: Question, answer: str | None, state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term with the function's value."""
        value = 0.0 if answer is None else float(self.function(question, answer, state))
        return (RewardTerm(name=self.name, value=value),)


class WeightedSum:
    """The terms of several rewards, each multiplied by its reward's weight.

    Args:
        parts: pairs of weight and reward.

    Raises:
        EnvConfigError: there is no part, or a weight is not finite.
    """

    __slots__ = ("parts",)

    def __init__(self, *parts: tuple[float, Reward]) -> None:
        if not parts:
            raise EnvConfigError("expected at least one pair of weight and reward; got none")
        for weight, _ in parts:
            if not math.isfinite(weight):
                raise EnvConfigError(f"expected a finite weight; got {weight}")
        self.parts = parts

    def __call__(self, question: Question, answer: str | None, state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """Every part's terms in order, weighted."""
        return tuple(
            RewardTerm(name=term.name, value=weight * term.value)
            for weight, reward in self.parts
            for term in reward(question, answer, state)
        )


def best_of(question: Question, answer: str | None, compare: Callable[[str, str], float]) -> float:
    """What an answer is worth against the reference that it fits best; 0 without an answer.

    Args:
        question: the question with its reference answers.
        answer: the answer; None for none.
        compare: (reference, answer) to what the answer is worth against that reference.
    """
    return 0.0 if answer is None else max(float(compare(reference, answer)) for reference in question.answers)


def score(reward: Reward, question: Question, answer: str | None, state: EpisodeState) -> tuple[RewardTerm, ...]:
    """Runs a reward and checks what it returns.

    Raises:
        RewardFault: it raised, or returned something other than a tuple of terms with finite values.
        InfrastructureFault: the machinery behind it (a judge's server) failed.
    """
    where = f"the reward of question {question.id!r}"
    try:
        terms = reward(question, answer, state)
    except InfrastructureFault:
        raise
    except Exception as error:
        raise RewardFault(f"{where} raised {type(error).__name__}: {error}") from error
    if not isinstance(terms, tuple) or not all(isinstance(term, RewardTerm) for term in terms):
        raise RewardFault(f"{where} must return a tuple of RewardTerm; got {terms!r}")
    for term in terms:
        if not isinstance(term.value, int | float) or not math.isfinite(term.value):
            raise RewardFault(f"{where} must be made of finite numbers; term {term.name!r} is {term.value!r}")
    return terms
