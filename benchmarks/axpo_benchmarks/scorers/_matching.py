"""Defines `score_match`, the verdict on an answer in words: equality with a gold, and a judge where asked for.

The answer is found as `final_answer` says. It is right where it equals a gold by the reward `ExactMatch`: case, white
space, quotation marks, emphasis and sentence marks at the end aside. Anything else is wrong, unless a judge is given:
then the judge decides, and a judgement that cannot be read makes the answer unparsable. A judge is asked of every
answer, that of equal ones, too: it decides nothing there, but tells how far it agrees with the rule. Without a judge
the figures are lower bounds of those with one.
"""

from __future__ import annotations

from typing import Final

from axpo_benchmarks.scorers._final_answer import final_answer
from axpo_benchmarks.scorers._verdict import Judge, Verdict, blank_state, right, unparsable, with_judge, wrong
from axpo_envs.rewards import ExactMatch
from axpo_envs.types import Question

_EXACT: Final = ExactMatch()


def score_match(question: Question, response: str | None, judge: Judge | None) -> Verdict:
    """The verdict by the module's rules; any gold will do.

    Args:
        question: the question with its golds.
        response: the response.
        judge: decides what equality does not; None for equality alone.

    Raises:
        InfrastructureFault: the judge stays unreachable.
    """
    found = final_answer(response)
    if found.text is None:
        return unparsable(found.rule)
    if _EXACT(question, found.text, blank_state(question))[0].value == 1.0:
        verdict = right(f"{found.rule} equals a gold: {found.text[:80]!r}")
    else:
        verdict = wrong(f"{found.rule} equals no gold: {found.text[:80]!r}")
    if judge is not None:
        return with_judge(verdict, judge(question, found.text))
    return verdict if verdict.score else wrong(f"{verdict.reason}; no judge was asked")
