"""Defines `Verdict`, what a scorer says of one response, and `Tally`, which counts verdicts and drops none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from axpo_envs.types import EpisodeState, Question


class Outcome(StrEnum):
    """What a response is."""

    RIGHT = "right"
    """It gives the answer."""
    WRONG = "wrong"
    """It gives another answer."""
    UNPARSABLE = "unparsable"
    """No answer could be read from it. It counts as not right, and is counted apart."""


class Opinion(StrEnum):
    """What a judge says of an answer."""

    RIGHT = "right"
    """It is right."""
    WRONG = "wrong"
    """It is wrong."""
    UNREADABLE = "unreadable"
    """The judgement cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a scorer says of one response."""

    outcome: Outcome
    """Right, wrong or unparsable."""
    reason: str
    """Which rule matched what."""
    score: float
    """What it is worth, 0 to 1; scorers that grade say so."""
    cut: bool = False
    """Whether a token limit cut the response."""
    rule: Outcome | None = None
    """What the rules alone say; None where no judge was asked."""
    judge: Opinion | None = None
    """What the judge says; None where none was asked."""


def right(reason: str) -> Verdict:
    """A verdict worth 1."""
    return Verdict(outcome=Outcome.RIGHT, reason=reason, score=1.0)


def wrong(reason: str) -> Verdict:
    """A verdict worth 0."""
    return Verdict(outcome=Outcome.WRONG, reason=reason, score=0.0)


def unparsable(reason: str) -> Verdict:
    """A verdict worth 0 on a response without a readable answer."""
    return Verdict(outcome=Outcome.UNPARSABLE, reason=reason, score=0.0)


CUT: Final = Verdict(outcome=Outcome.UNPARSABLE, reason="cut by the token limit", score=0.0, cut=True)
"""The verdict on a response that a token limit ended."""

Judge: TypeAlias = Callable[[Question, str], bool | None]
"""Tells whether an answer to a question is right; None where its judgement cannot be read."""


def with_judge(by_rules: Verdict, judged: bool | None) -> Verdict:
    """The verdict of rules and a judge: right by rules stays right, anything else is what the judge says.

    A judgement that cannot be read makes an answer unparsable that is not right by rules.

    Args:
        by_rules: the verdict of the rules alone.
        judged: what the judge says.
    """
    opinion = Opinion.UNREADABLE if judged is None else Opinion.RIGHT if judged else Opinion.WRONG
    told = "the judgement cannot be read" if judged is None else f"the judge calls it {opinion}"
    reason = f"{by_rules.reason}; {told}"
    if by_rules.outcome is Outcome.RIGHT:
        decided = right(reason)
    elif judged is None:
        decided = unparsable(reason)
    else:
        decided = (right if judged else wrong)(reason)
    return replace(decided, rule=by_rules.outcome, judge=opinion)


class Scorer(Protocol):
    """Scores one response by rules; none of it is ever executed."""

    def __call__(self, question: Question, response: str | None, /) -> Verdict:
        """The verdict.

        Args:
            question: the question as the benchmark's loader makes it.
            response: the whole last turn, or the answer alone; None for none.
        """
        ...


def score_response(scorer: Scorer, question: Question, response: str | None, *, cut: bool = False) -> Verdict:
    """A scorer's verdict; a response that a token limit cut is unparsable whatever it holds."""
    return CUT if cut else scorer(question, response)


def blank_state(question: Question) -> EpisodeState:
    """The state that rewards are handed where there was no episode."""
    return EpisodeState(question=question, seed=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts over verdicts."""

    right: int
    """Right ones."""
    wrong: int
    """Wrong ones."""
    unparsable: int
    """Those without a readable answer, cut ones included."""
    cut: int
    """Those that a token limit cut."""
    score: float
    """Sum of what they are worth."""

    @classmethod
    def of(cls, verdicts: Iterable[Verdict]) -> Tally:
        """Counts verdicts."""
        listed = list(verdicts)
        counts = {outcome: sum(verdict.outcome is outcome for verdict in listed) for outcome in Outcome}
        return cls(
            right=counts[Outcome.RIGHT],
            wrong=counts[Outcome.WRONG],
            unparsable=counts[Outcome.UNPARSABLE],
            cut=sum(verdict.cut for verdict in listed),
            score=sum((verdict.score for verdict in listed), 0.0),
        )

    @property
    def total(self) -> int:
        """All verdicts, the unparsable ones included."""
        return self.right + self.wrong + self.unparsable

    @property
    def accuracy(self) -> float:
        """Share of right ones among all.

        Raises:
            ValueError: there are none.
        """
        return self._share(self.right)

    @property
    def mean(self) -> float:
        """Mean of what they are worth, over all.

        Raises:
            ValueError: there are none.
        """
        return self._share(self.score)

    def _share(self, amount: float) -> float:
        if not self.total:
            raise ValueError("expected at least one verdict; got none")
        return amount / self.total
