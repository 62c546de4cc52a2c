r"""Defines the scorer of Math-VR by rules, its process score, and `math_vr_report`, its figures.

Answer correctness by rules: a question with one gold is answered by what `final_answer` finds. One with several golds
is answered by as many `\boxed{...}` in their order (the last ones), else by a list parted by semicolons, commas or
lines; each must equal its gold, as text (`ExactMatch`) or mathematically (`math_verify`), without a denial (`not 5`).
Fewer or more answers than golds are unparsable. A judge, where asked for, decides what these rules call wrong or
unparsable; it is asked of every answer, to tell how far it agrees with them.

The process score needs a judge's points: 1 where the answer is right, else 0.7 times the share of points. A judgement
that cannot be read counts as 0 and stays in the denominator. Languages, and text and multimodal questions, are
reported apart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Final

from axpo_benchmarks.scorers._final_answer import boxed, final_answer, final_text
from axpo_benchmarks.scorers._verdict import Judge, Verdict, blank_state, right, unparsable, with_judge, wrong
from axpo_envs.rewards import ExactMatch, Reward, make_reward
from axpo_envs.rewards.denials import denied
from axpo_envs.types import Question

PROCESS_SHARE: Final = 0.7
"""What all points are worth where the answer is not right."""

_EXACT: Final = ExactMatch()
_LONGEST: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class MathVRScorer:
    """Right where every gold is answered.

    Raises:
        MissingExtraError: a package of the extra `math` is not installed.
    """

    mathematics: Reward = field(default_factory=lambda: make_reward("math_verify"))
    """Compares what is not equal as text."""
    judge: Judge | None = None
    """Decides what the rules do not call right; the published figures have one. None for the rules alone."""

    def __call__(self, question: Question, response: str | None, /) -> Verdict:
        """The verdict."""
        verdict = self._by_rules(question, response)
        found = final_text(response)
        if self.judge is None or found.text is None:
            return verdict
        return with_judge(verdict, self.judge(question, found.text))

    def _by_rules(self, question: Question, response: str | None) -> Verdict:
        golds: tuple[str, ...] = question.extra["golds"]
        answers, rule = answers_of(response, len(golds))
        if answers is None:
            return unparsable(rule)
        missed = [gold for gold, answer in zip(golds, answers, strict=True) if not self._equals(question, gold, answer)]
        said = f"{rule}: {'; '.join(answers)[:80]!r}"
        return wrong(f"{said}; expected {missed[0][:80]!r}") if missed else right(said)

    def _equals(self, question: Question, gold: str, answer: str) -> bool:
        if denied(answer, (gold,)) is not None:
            return False
        asked = replace(question, answer=gold, alternatives=())
        state = blank_state(asked)
        return any(reward(asked, answer, state)[0].value == 1.0 for reward in (_EXACT, self.mathematics))


def answers_of(response: str | None, count: int) -> tuple[tuple[str, ...] | None, str]:
    """The answers of a response, and the rule that found them; None and the reason where there are not `count`."""
    found = final_answer(response)
    if found.text is None:
        return None, found.rule
    if count == 1:
        long = len(found.text) > _LONGEST or (found.rule == "all of it" and "\n" in found.text)
        return (None, "no answer is marked in several lines") if long else ((found.text,), found.rule)
    boxes = boxed(final_text(response).text or "")
    if len(boxes) >= count:
        return tuple(box.strip() for box in boxes[-count:]), rf"the last {count} \boxed{{}}"
    for separator in (";", "\n", ","):
        parts = [part.strip() for part in re.split(rf"\s*{separator}\s*", found.text[:_LONGEST]) if part.strip()]
        if len(parts) == count:
            return tuple(parts), f"{found.rule}, parted by {separator!r}"
    return None, f"{found.rule} is not {count} answers: {found.text[:80]!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judge said of one response."""

    right: bool
    """Whether the answer is."""
    points: float
    """Points for the process."""


def process_score(judgement: Judgement | None, total: float) -> float:
    """1 for a right answer, else 0.7 x points / total; 0 for a judgement that cannot be read.

    Raises:
        ValueError: the total is not positive, or the points are outside 0 to total.
    """
    if judgement is None:
        return 0.0
    if not total > 0 or not 0 <= judgement.points <= total:
        raise ValueError(f"expected points from 0 to a positive total; got {judgement.points} of {total}")
    return 1.0 if judgement.right else PROCESS_SHARE * judgement.points / total


@dataclass(frozen=True, slots=True, kw_only=True)
class MathVRFigures:
    """The figures of the questions of one language and kind."""

    questions: int
    """Number of questions, those with unreadable judgements included."""
    unreadable: int
    """Judgements that cannot be read; each counts as 0."""
    accuracy: float
    """Share of right answers."""
    process: float
    """Mean process score."""


def math_vr_report(results: Iterable[tuple[Question, Judgement | None]]) -> Mapping[tuple[str, str], MathVRFigures]:
    """The figures by (language, kind) over questions and their judgements, None where unreadable."""
    groups: dict[tuple[str, str], list[tuple[Question, Judgement | None]]] = defaultdict(list)
    for question, judgement in results:
        groups[question.extra["language"], question.extra["kind"]].append((question, judgement))
    return {
        name: MathVRFigures(
            questions=len(rows),
            unreadable=sum(judgement is None for _, judgement in rows),
            accuracy=fmean(judgement is not None and judgement.right for _, judgement in rows),
            process=fmean(process_score(judgement, question.extra["total_score"]) for question, judgement in rows),
        )
        for name, rows in groups.items()
    }
