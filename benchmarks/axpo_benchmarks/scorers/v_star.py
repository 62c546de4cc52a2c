"""Defines the scorer of V*: the option that the response chooses, by letter or by its verbatim text (see `_choice`)."""

from __future__ import annotations

from axpo_benchmarks.scorers._choice import score_choice
from axpo_benchmarks.scorers._verdict import Verdict
from axpo_envs.types import Question


def score_v_star(question: Question, response: str | None, /) -> Verdict:
    """Right where the response chooses the labelled option; unparsable where it chooses none."""
    return score_choice(question, response)
