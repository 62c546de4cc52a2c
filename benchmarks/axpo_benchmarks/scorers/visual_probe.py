"""Defines the scorer of VisualProbe: equality with the answer, and a judge where asked for (see `_matching`)."""

from __future__ import annotations

from dataclasses import dataclass

from axpo_benchmarks.scorers._matching import score_match
from axpo_benchmarks.scorers._verdict import Judge, Verdict
from axpo_envs.types import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualProbeScorer:
    """Right where the last `<answer>` equals the gold, or where the judge says so."""

    judge: Judge | None = None
    """Decides what equality does not; the published figures have one. None for equality alone."""

    def __call__(self, question: Question, response: str | None, /) -> Verdict:
        """The verdict."""
        return score_match(question, response, self.judge)
