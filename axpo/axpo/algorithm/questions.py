"""Defines which questions a training step and an evaluation ask, and how questions are divided between the two: pure
functions of seed, step and what the questions ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from axpo.algorithm.seeds import derive_seed
from axpo_envs.questions.sources import QuestionSource, content_of
from axpo_envs.types import Question

_FIRST_INDICES: Final = 2**31
"""An infinite source is read from a place below this one, which the seed chooses."""

_HELD_OUT_SHARE: Final = 10
_MOST_HELD_OUT: Final = 1000


def training_questions(source: QuestionSource, *, seed: int, step: int, count: int) -> tuple[Question, ...]:
    """The questions of one training step, the same for every method.

    A finite source is shuffled anew for each pass over it; an infinite one is read on from a place that the seed
    chooses.

    Args:
        source: where questions come from.
        seed: the run's seed.
        step: the training step, counted from 1.
        count: how many to ask (B).
    """
    positions = range((step - 1) * count, step * count)
    if source.size is None:
        first = derive_seed(seed, "questions") % _FIRST_INDICES
        return tuple(source.question(first + position) for position in positions)
    orders = {
        turn: np.random.default_rng(derive_seed(seed, "questions", turn)).permutation(source.size)
        for turn in {position // source.size for position in positions}
    }
    return tuple(source.question(int(orders[p // source.size][p % source.size])) for p in positions)


def held_out_questions(source: QuestionSource, count: int) -> tuple[Question, ...]:
    """The first questions of a source, in its own order; fewer if it has fewer."""
    available = count if source.size is None else min(count, source.size)
    return tuple(source.question(index) for index in range(available))


def contents(source: QuestionSource) -> tuple[str, ...]:
    """What each question of a finite source asks, as hashes: equal where text and images are."""
    return tuple(content_of(source, index) for index in range(source.size or 0))


def divide(asked: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Divides questions for training and for evaluations: the same way every time, equal questions on one side.

    A tenth of what is asked, at least one and at most 1,000, goes to evaluations: that with the smallest hashes.

    Args:
        asked: the hash of what each question asks.

    Returns:
        Numbers of questions for training and for evaluations; none for training where all ask the same.
    """
    hashes = sorted(set(asked))
    held_out = set(hashes[: min(max(len(hashes) // _HELD_OUT_SHARE, 1), _MOST_HELD_OUT)])
    places = range(len(asked))
    return tuple(i for i in places if asked[i] not in held_out), tuple(i for i in places if asked[i] in held_out)
