"""Defines `Numeric`, the reward for answers that are numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from axpo_envs.rewards._parameters import check_number
from axpo_envs.rewards._quantity import Quantity, read_quantity
from axpo_envs.rewards.reward import best_of
from axpo_envs.types import EpisodeState, Question, RewardTerm

_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """1 where the answer is the reference's number within a tolerance, else 0 (also without an answer).

    Numbers are read by `read_quantity` and compared exactly, as fractions: `0.1` equals `1/10` and `10%`. An answer
    is right where it differs from the reference by at most the larger of `tolerance` and `relative` times the
    reference's size. Of several accepted answers any will do.

    Scale words and per cent signs are part of the number: `100 million` is 100000000, and `50` is not `50%`. Units are
    never converted. Where both have one, it must be the same (`km`, `kilometres`); where one has none, it is taken to
    be meant, so that `12` and `12 km` are equal whichever is the reference.

    A `relative` of at most a millionth forgives rounding alone: whole numbers then must be equal, however large.

    Raises:
        EnvConfigError: a tolerance is negative or not finite.
    """

    tolerance: float = 0.0
    """Largest absolute difference of a right answer."""
    relative: float = _ROUNDING
    """Largest difference of a right answer as a share of the reference."""
    name: str = "numeric"
    """Name of the term."""

    def __post_init__(self) -> None:
        check_number("tolerance", self.tolerance, at_least=0)
        check_number("relative", self.relative, at_least=0)

    def __call__(self, question: Question, answer: str | None, _state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term of 0.0 or 1.0."""
        return (RewardTerm(name=self.name, value=best_of(question, answer, self.is_right)),)

    def problem(self, question: Question) -> str | None:
        """That a reference is no number."""
        for reference in question.answers:
            if read_quantity(reference) is None:
                return f"expected a number, which the reward 'numeric' compares with; got {reference!r:.80}"
        return None

    def is_right(self, reference: str, answer: str) -> bool:
        """Whether an answer is the number of one reference."""
        expected, given = read_quantity(reference), read_quantity(answer)
        return expected is not None and given is not None and self.is_close(expected, given)

    def is_close(self, expected: Quantity, given: Quantity) -> bool:
        """Whether two quantities are equal in one of their readings."""
        pairs = [(expected.value, given.value)] if _same_unit(expected, given) else []
        # The scaled reading has no unit, hence it fits where the other quantity has none either.
        pairs += [(expected.scaled, given.value)] if expected.scaled is not None and not given.unit else []
        pairs += [(expected.value, given.scaled)] if given.scaled is not None and not expected.unit else []
        return any(abs(one - other) <= self._margin(one, other) for one, other in pairs)

    def _margin(self, expected: Fraction, given: Fraction) -> Fraction:
        """The largest difference of a right answer; as written: 0.01 is a hundredth, not the nearest binary number."""
        exact = self.relative <= _ROUNDING and expected.denominator == given.denominator == 1
        relative = Fraction(0) if exact else _as_written(self.relative)
        return max(_as_written(self.tolerance), relative * abs(expected))


def _same_unit(one: Quantity, other: Quantity) -> bool:
    if one.unit and other.unit:
        return one.unit == other.unit
    return one.scaled is None and other.scaled is None


def _as_written(number: float) -> Fraction:
    return Fraction(str(number))
