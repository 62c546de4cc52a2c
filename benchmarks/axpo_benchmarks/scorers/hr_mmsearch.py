"""Defines the scorer of HR-MMSearch: normalized equality with any gold, and a judge where asked for (see `_matching`).

What counts is the last `<answer>` after the last `</think>`. The published judge sees the image: a judge that is given
here gets the whole question, whose `images` are the original ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from axpo_benchmarks.scorers._matching import score_match
from axpo_benchmarks.scorers._verdict import Judge, Verdict
from axpo_envs.types import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class HRMMSearchScorer:
    """Right where the last `<answer>` equals a gold, or where the judge says so."""

    judge: Judge | None = None
    """Decides what equality does not; the published figures have one. None for equality alone."""

    def __call__(self, question: Question, response: str | None, /) -> Verdict:
        """The verdict."""
        return score_match(question, response, self.judge)
