"""Defines the scripted agents of PythonReasoning: the expert, and those that answer without seeing the figure."""

from __future__ import annotations

import hashlib
from collections import Counter
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import numpy as np

from axpo_envs.examples import call_turn
from axpo_envs.questions.splits import Split
from axpo_envs.suite.python_reasoning.env import PythonReasoning
from axpo_envs.suite.python_reasoning.families import FAMILIES
from axpo_envs.suite.python_reasoning.questions import split_of
from axpo_envs.types import EpisodeState

DRAWN: Final = 3000
"""Problems of each kind that guesses are made of; those of them that are held out are left out."""

_ENTROPY: Final = 0xB11D


class ReasoningExpert:
    """Writes down what the figure shows, has Python compute with it, and answers what that printed.

    It looks at the environment's truth in place of the figure. What it answers is the last line that its call printed.

    Args:
        env: the environment whose questions it is asked.
    """

    def __init__(self, env: PythonReasoning) -> None:
        self._env = env

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Calls the tool, then answers."""
        del observation  # the state holds it, and more
        problem = self._env.problem_of(state.question)
        if not state.turns:
            return f"<think>I read the figure and compute</think>{call_turn('python', {'code': problem.code})}"
        printed = "".join(
            part for call in state.turns[-1].calls for part in call.result.content if isinstance(part, str)
        ).split()
        return _answer_turn(printed[-1] if printed else "")


class BlindGuesser:
    """Answers what is most often right for the kind of question, without seeing the figure.

    Args:
        env: the environment whose questions it is asked.
    """

    def __init__(self, env: PythonReasoning) -> None:
        del env  # all of them ask of the same kinds

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Answers."""
        del observation  # it does not look
        return _answer_turn(_likeliest(state.question.extra["form"]))


class RandomFloor:
    """Answers what is right for some question of the kind, without seeing the figure.

    Args:
        env: the environment whose questions it is asked.
        seed: seeds its choices.
    """

    def __init__(self, env: PythonReasoning, *, seed: int = 0) -> None:
        del env  # all of them ask of the same kinds
        self._seed = seed

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Answers at random; a function of its seed and the episode's state."""
        del observation  # whatever it is
        key = repr((self._seed, state.question.id, state.seed))
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big"))
        answers = _known_answers(state.question.extra["form"])
        return _answer_turn(answers[int(rng.integers(len(answers)))])


@lru_cache(maxsize=64)
def _known_answers(form: str) -> tuple[str, ...]:
    """The answers to so many problems of a kind that belong to the training split."""
    makers = {make.__name__: make for kinds in FAMILIES.values() for make in kinds}
    rng = np.random.default_rng(np.random.SeedSequence(_ENTROPY, spawn_key=(list(makers).index(form),)))
    made = (makers[form](rng) for _ in range(DRAWN))
    return tuple(problem.written for problem in made if split_of(problem) is Split.TRAIN)


@lru_cache(maxsize=64)
def _likeliest(form: str) -> str:
    """The answer that is right for most of these problems, as the reward sees it: within a hundredth."""
    counts = Counter(round(Fraction(answer) * 100) for answer in _known_answers(form))
    best = max(counts, key=lambda value: (sum(counts[near] for near in (value - 1, value, value + 1)), -value))
    return f"{best / 100:.2f}"


def _answer_turn(answer: str) -> str:
    return f"<think>I can answer</think><answer>{answer}</answer>"
