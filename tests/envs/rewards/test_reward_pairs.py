"""What each reward calls equal and unequal, pair by pair (`reward_pairs.toml`)."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from axpo_envs import EpisodeState, Question
from axpo_envs.rewards import make_reward

PAIRS = tomllib.loads(Path(__file__).with_name("reward_pairs.toml").read_text(encoding="utf-8"))
OPTIONS = "Which?\nA. a cat\nB. a dog\nC. 102\nD. 10²\nE. 5!\nF. 5\nG. f'\nH. -5"
CASES = [
    pytest.param(name, reference, answer, verdict == "equal", id=f"{name}-{verdict}-{reference}-{answer}")
    for name, verdicts in PAIRS.items()
    for verdict, pairs in verdicts.items()
    for reference, answer in pairs
]


@pytest.mark.parametrize(("name", "reference", "answer", "equal"), CASES)
def test_a_reward_agrees_with_a_reader_of_both_texts(name: str, reference: str, answer: str, equal: bool) -> None:
    question = Question(id="q", prompt=(OPTIONS,), answer=reference)
    value = sum(term.value for term in make_reward(name)(question, answer, EpisodeState(question=question, seed=0)))
    assert (value == 1.0) is equal


@pytest.mark.parametrize("name", PAIRS)
def test_the_table_of_a_reward_is_long_and_names_no_pair_twice(name: str) -> None:
    pairs = [tuple(pair) for verdict in PAIRS[name].values() for pair in verdict]
    assert len(pairs) == len(set(pairs)) >= 60
