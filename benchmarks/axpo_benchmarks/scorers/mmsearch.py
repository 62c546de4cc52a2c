"""Defines the scorer of MMSearch's stages that end in an answer (end to end, summarization), and the final score.

An answer, found as `final_answer` says, without Markdown emphasis, is worth the largest token F1 over all golds
(`token_f1`); where nothing is left of both texts, they are equal. It is right where that is 1, else wrong with that
score. Words are parted by white space: a Chinese text without any is one word.

The final score weighs end to end .75, requery .05, rerank .1 and summarization .1. How requery and rerank are scored
is not part of this module: their means are given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from axpo_benchmarks.scorers._final_answer import final_answer
from axpo_benchmarks.scorers._verdict import Outcome, Verdict, unparsable
from axpo_envs.rewards import token_f1
from axpo_envs.types import Question

_EMPHASIS: Final = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")


def score_mmsearch(question: Question, response: str | None, /) -> Verdict:
    """A verdict worth the best F1 over the golds."""
    found = final_answer(response)
    if found.text is None:
        return unparsable(found.rule)
    said = _EMPHASIS.sub(r"\2", found.text)
    best, gold = max((token_f1(gold, said), gold) for gold in question.answers)
    return Verdict(
        outcome=Outcome.RIGHT if best == 1.0 else Outcome.WRONG,
        reason=f"{found.rule}: {found.text[:80]!r} has F1 {best:.3f} with {gold[:80]!r}",
        score=best,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MMSearchStages:
    """Mean scores of the stages, each 0 to 1.

    Raises:
        ValueError: one is outside 0 to 1.
    """

    end_to_end: float
    """All stages by the model itself."""
    requery: float
    """Writing the query to a search engine."""
    rerank: float
    """Choosing the page to read."""
    summary: float
    """Answering from the page."""

    def __post_init__(self) -> None:
        for score in (self.end_to_end, self.requery, self.rerank, self.summary):
            if not 0.0 <= score <= 1.0:
                raise ValueError(f"expected means from 0 to 1; got {score}")

    @property
    def final(self) -> float:
        """.75 end to end + .05 requery + .1 rerank + .1 summary."""
        return 0.75 * self.end_to_end + 0.05 * self.requery + 0.1 * self.rerank + 0.1 * self.summary
