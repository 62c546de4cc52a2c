r"""Defines `MathVerify`, the reward for answers that are mathematics, compared by the package math-verify.

math-verify limits its time by signals, which only a main thread gets and which long operations ignore. Comparisons
therefore run in processes of their own, which the kernel ends when they have used up their processor time (see
`math_worker`). What a plain number is worth is decided without it, as by `Numeric`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.extras import require_extra
from axpo_envs.rewards._answer_text import normalize_answer
from axpo_envs.rewards._math_text import (
    as_latex,
    cases_clash,
    is_hedged,
    is_words,
    marked_part,
    names_clash,
    plain_quantity,
    unit_of,
)
from axpo_envs.rewards._math_workers import ask_worker
from axpo_envs.rewards._numeric import Numeric
from axpo_envs.rewards._parameters import check_number
from axpo_envs.rewards.denials import denied
from axpo_envs.rewards.reward import best_of
from axpo_envs.types import EpisodeState, Question, RewardTerm

MAX_ANSWER_CHARS: Final = 2000
"""Length of an answer; a longer one is wrong."""

_NUMERIC: Final = Numeric()


@dataclass(frozen=True, slots=True, kw_only=True)
class MathVerify:
    r"""1 where the answer is mathematically equal to the reference, else 0 (also without an answer).

    Both are LaTeX or plain expressions: `\frac{1}{2}`, `1/2`, `\boxed{0.5}`, `$x^2 + 1$`, `(1, 2]`, `\{1, 2\}`. An
    answer that cannot be read is wrong, and so is a sentence that doubts or denies what it says (`not $5$`, `it is not
    5`). Two plain numbers are equal where `numeric` says so, units included; words (of four letters at least) are
    equal where `exact_match` says so. Of several accepted answers any will do.

    A comparison that uses up its processor time is ended, and the answer wrong: that depends on the answer, not on
    what else the machine does. One that gets no verdict within `patience_s` is a fault of the machine.

    Raises:
        EnvConfigError: the package math-verify is missing, or a time limit is not positive.
    """

    timeout_s: float = 5.0
    """Seconds of processor time that a comparison may take; one takes some hundredths."""
    patience_s: float = 600.0
    """Seconds of waiting after which a comparison that has not used up its processor time is an infrastructure
    fault."""
    name: str = "math"
    """Name of the term."""

    def __post_init__(self) -> None:
        check_number("timeout_s", self.timeout_s, at_least=0.01)
        check_number("patience_s", self.patience_s, at_least=0.01)
        require_extra("math", "the reward 'math_verify'")

    def __call__(self, question: Question, answer: str | None, _state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term of 0.0 or 1.0.

        Raises:
            InfrastructureFault: the processes that compare cannot be kept running, or got no processor time.
        """
        limits = (self.timeout_s, self.patience_s)
        readable = answer if answer and len(answer) <= MAX_ANSWER_CHARS else None
        value = best_of(question, readable, lambda reference, given: _is_equal(reference, given, limits))
        return (RewardTerm(name=self.name, value=value),)

    def problem(self, question: Question) -> str | None:
        """That a reference is no mathematics."""
        return next(filter(None, map(self._problem, question.answers)), None)

    def _problem(self, reference: str) -> str | None:
        part = marked_part(reference)
        # Numbers are told without a process: a large file of them is checked in no time.
        if plain_quantity(part) is not None or is_words(part):
            return None
        reply = ask_worker(as_latex(part), None, self.timeout_s, self.patience_s)
        if reply is None or not reply["parsed"]:
            return f"expected mathematics, which the reward 'math_verify' compares with; got {reference!r:.80}"
        return None


def plain_verdict(reference: str, answer: str) -> bool | None:
    """Whether two texts are equal as far as that is to be told without mathematics; None where it takes some."""
    if names_clash(reference, answer):
        return False
    expected, given = plain_quantity(reference), plain_quantity(answer)
    if expected is not None and given is not None:
        return _NUMERIC.is_close(expected, given)
    if is_words(reference) or is_words(answer):
        return normalize_answer(reference) == normalize_answer(answer)
    units = unit_of(reference), unit_of(answer)
    if cases_clash(reference, answer) or (all(units) and units[0] != units[1]):
        return False
    return None


@lru_cache(maxsize=4096)
def _is_equal(reference: str, answer: str, limits: tuple[float, float]) -> bool:
    """Whether they are equal; an answer that ends two processes while the next is well counts as wrong."""
    if is_hedged(answer) and answer.split() != reference.split():
        return False
    expected, given = marked_part(reference), marked_part(answer)
    if denied(given, (expected,)) is not None:
        return False
    verdict = plain_verdict(expected, given)
    if verdict is not None:
        return verdict
    for _ in range(2):
        reply = ask_worker(as_latex(expected), as_latex(given), *limits)
        if reply is not None:
            return reply["equal"]
    if ask_worker("1", "1", *limits) != {"parsed": True, "equal": True}:
        raise InfrastructureFault(
            "the process of the reward 'math_verify' ends without an answer, three times in a row"
        )
    return False
