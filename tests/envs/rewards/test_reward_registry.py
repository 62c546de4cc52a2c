"""Rewards made of what a user gives: names, parameters, functions, weights."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

from axpo_envs import EnvConfigError, EpisodeState, ExactMatch, Question, RewardTerm, WeightedSum
from axpo_envs.rewards import (
    REWARDS,
    ChecksAnswers,
    MultipleChoice,
    Numeric,
    TokenF1,
    answer_problem,
    describe_reward,
    make_reward,
)
from axpo_envs.rewards._math_equality import MathVerify

QUESTION = Question(id="q", prompt=("?",), answer="4")
STATE = EpisodeState(question=QUESTION, seed=0)


def half(question: Question, answer: str, state: EpisodeState) -> float:
    """A reward of the user's."""
    return 0.5 if answer else 0.25


class Terms:
    """A reward with terms of its own."""

    def __call__(self, question: Question, answer: str | None, state: EpisodeState) -> tuple[RewardTerm, ...]:
        return (RewardTerm(name="given", value=float(answer is not None)), RewardTerm(name="flat", value=2.0))


class Number:
    """A reward that is a number."""

    def __call__(self, question: Question, answer: str | None, state: EpisodeState) -> int:
        return 3


def terms(given: Any, answer: str | None = "4") -> dict[str, float]:
    return {term.name: term.value for term in make_reward(given)(QUESTION, answer, STATE)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("exact_match", {"correct": 1.0}),
        ("numeric", {"numeric": 1.0}),
        ("token_f1", {"token_f1": 1.0}),
        ("exact_match:name=right", {"right": 1.0}),
        ({"name": "numeric", "tolerance": 0.5}, {"numeric": 1.0}),
        (f"{__name__}:half", {"half": 0.5}),
        (half, {"half": 0.5}),
        (lambda question, answer, state: True, {"<lambda>": 1.0}),
        (functools.partial(half), {"partial": 0.5}),
        (Terms(), {"given": 1.0, "flat": 2.0}),
        (Terms, {"given": 1.0, "flat": 2.0}),
        (Number(), {"Number": 3.0}),
        (Numeric(tolerance=1.0), {"numeric": 1.0}),
        ({"exact_match": 0.75, "numeric:tolerance=1": 0.25, half: 2}, {"correct": 0.75, "numeric": 0.25, "half": 1.0}),
    ],
)
def test_a_reward_is_made_of_what_is_given(given: Any, expected: dict[str, float]) -> None:
    assert terms(given) == expected


def test_episodes_without_answer_reach_objects_and_not_functions() -> None:
    assert terms(half, None) == {"half": 0.0}
    assert terms(Terms(), None) == {"given": 0.0, "flat": 2.0}


def test_parameters_are_read_as_json_or_words() -> None:
    assert make_reward("numeric:tolerance=0.01, relative=0,name=count") == Numeric(
        tolerance=0.01, relative=0, name="count"
    )
    assert make_reward("math_verify:timeout_s=2") == MathVerify(timeout_s=2)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("exactmatch", "did you mean 'exact_match'"),
        ("accuracy", "expected a name .*got 'accuracy'"),
        ("numeric:tolerance", "expected 'name:parameter=value"),
        ("numeric:tolerence=1", "its parameters are tolerance, relative, name"),
        ("numeric:tolerance=big", "tolerance to be a number from 0; got 'big'"),
        ({"name": "numeric", "tolerence": 1}, "its parameters are"),
        ({"name": "numerical"}, "expected a name out of exact_match, numeric"),
        ({}, "at least one pair of weight and reward"),
        ({"numeric": "heavy"}, "expected a number as the weight of 'numeric'; got 'heavy'"),
        ({"numeric": math.inf}, "finite weight"),
        ({"nummeric": 1}, "did you mean 'numeric'"),
        (5, "expected a name .*; got 5"),
        (None, "expected a name .*; got None"),
        (lambda answer: 1.0, "takes question, answer and state"),
        ("no_such_module:f", "cannot import no_such_module"),
        (f"{__name__}:no_such_function", "has no 'no_such_function'"),
        (f"{__name__}:QUESTION", "expected a name"),
        ("llm_judge", "missing a required argument: 'url'"),
        (Question, "cannot be made without parameters|without arguments"),
    ],
)
def test_what_is_no_reward_is_told(given: Any, problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        make_reward(given)


def test_async_functions_are_refused() -> None:
    async def later(question: Question, answer: str, state: EpisodeState) -> float:
        return 1.0

    with pytest.raises(EnvConfigError, match="is async"):
        make_reward(later)


def test_every_named_reward_names_its_term_and_describes_itself() -> None:
    made = {name: make_reward(name) for name in REWARDS if name != "llm_judge"}
    assert len({describe_reward(reward) for reward in made.values()}) == len(made)
    assert describe_reward(make_reward("numeric:tolerance=1")) != describe_reward(make_reward("numeric"))
    assert describe_reward(make_reward({"numeric": 0.5, half: 1})) == (f"0.5 * {Numeric()!r} + 1 * {__name__}:half")
    assert describe_reward(make_reward(Number())) == f"{__name__}:Number"


def test_problems_of_answers_are_those_of_any_part() -> None:
    reward = make_reward({"exact_match": 0.5, "numeric": 0.5})
    assert isinstance(reward, WeightedSum)
    assert answer_problem(reward, QUESTION) is None
    assert "a number" in (answer_problem(reward, Question(id="q", prompt=("?",), answer="four")) or "")
    assert answer_problem(ExactMatch(), Question(id="q", prompt=("?",), answer="four")) is None


def test_only_rewards_that_need_a_form_check_answers() -> None:
    checking = (Numeric(), MultipleChoice(), MathVerify())
    assert all(isinstance(reward, ChecksAnswers) for reward in checking)
    assert not isinstance(TokenF1(), ChecksAnswers)
