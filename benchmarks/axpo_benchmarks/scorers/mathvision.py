r"""Defines the scorer of MathVision: the reward `MathVisionReward` on the answer that the response gives.

The answer is the last balanced `\boxed{...}` where there is one, else found as `final_answer` says. With options their
letter counts, their text, or what is mathematically equal to the right one's text and to no other's; without, what is
equal as text or mathematically. Nothing of it is executed. Several lines that mark no answer are unparsable; an answer
with a denial (`not 5`) that neither reference nor options have is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from axpo_benchmarks.scorers._final_answer import final_answer
from axpo_benchmarks.scorers._verdict import Verdict, blank_state, right, unparsable, wrong
from axpo_envs.rewards import Reward
from axpo_envs.rewards.denials import denied
from axpo_envs.suite.python_reasoning import MathVisionReward
from axpo_envs.types import Question

_LONGEST: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class MathVisionScorer:
    """Right where `reward` gives 1 for the answer.

    Raises:
        MissingExtraError: a package of the extra `math` is not installed.
    """

    reward: Reward = field(default_factory=MathVisionReward)
    """Compares answers."""

    def __call__(self, question: Question, response: str | None, /) -> Verdict:
        """The verdict."""
        found = final_answer(response)
        if found.text is None:
            return unparsable(found.rule)
        if len(found.text) > _LONGEST or (found.rule == "all of it" and "\n" in found.text):
            return unparsable(f"no answer is marked in {len(found.text)} characters")
        said = f"{found.rule}: {found.text[:80]!r}; expected {question.answer[:80]!r}"
        denial = denied(found.text, (*question.answers, *question.options))
        if denial is not None:
            return wrong(f"{said}; it says {denial!r}")
        terms = self.reward(question, found.text, blank_state(question))
        return right(said) if sum(term.value for term in terms) == 1.0 else wrong(said)
