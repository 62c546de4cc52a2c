"""Defines the scorer of MMSearch's stages, and the final score.

End to end and summarization: an answer, found as `final_answer` says, without Markdown emphasis, is worth the largest
token F1 over all golds (`token_f1`); where nothing is left of both texts, they are equal. It is right where that is 1,
else wrong with that score. Words are parted by white space: a Chinese text without any is one word.

Requery: a query, found as `final_answer` says, is worth its likeness to the reference query (`query_similarity`).
Rerank: a choice, found so, is worth 1 where its one `<Website N>` is a page that helps (`valid`), 0.5 where it may
(`not_sure`), else 0; with none or several of them it is unparsable. Both as MMSearch's own code has it, which reads
whole responses, thoughts included.

The final score weighs end to end .75, requery .05, rerank .1 and summarization .1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from axpo_benchmarks.scorers._final_answer import Found, final_answer
from axpo_benchmarks.scorers._query_similarity import query_similarity
from axpo_benchmarks.scorers._verdict import Outcome, Verdict, unparsable
from axpo_envs.rewards import token_f1
from axpo_envs.types import Question

_EMPHASIS: Final = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_WEBSITE: Final = re.compile(r"<Website (\d{1,3})>")


def score_mmsearch(question: Question, response: str | None, /) -> Verdict:
    """The verdict by the rules of the question's stage; without one, by those of an answer."""
    found = final_answer(response)
    if found.text is None:
        return unparsable(found.rule)
    match question.extra.get("stage"):
        case "requery":
            worth = query_similarity(question.answer, found.text)
            return _graded(worth, f"{found.rule}: {found.text[:80]!r} is {worth:.3f} like {question.answer[:80]!r}")
        case "rerank":
            return _score_choice(question, found.text, found.rule)
    return _score_answer(question, found)


def _graded(worth: float, reason: str) -> Verdict:
    return Verdict(outcome=Outcome.RIGHT if worth == 1.0 else Outcome.WRONG, reason=reason, score=worth)


def _score_choice(question: Question, said: str, rule: str) -> Verdict:
    chosen = _WEBSITE.findall(said)
    if len(chosen) != 1:
        return unparsable(f"{rule}: expected one <Website N>; got {len(chosen)} in {said[:80]!r}")
    number = int(chosen[0]) - 1
    worth = 1.0 if number in question.extra["valid"] else 0.5 if number in question.extra["not_sure"] else 0.0
    return _graded(worth, f"{rule}: website {number + 1} is worth {worth}")


def _score_answer(question: Question, found: Found) -> Verdict:
    text = found.text or ""
    said = _EMPHASIS.sub(r"\2", text)
    best, gold = max((token_f1(gold, said), gold) for gold in question.answers)
    return _graded(best, f"{found.rule}: {text[:80]!r} has F1 {best:.3f} with {gold[:80]!r}")


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
