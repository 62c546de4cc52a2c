"""Defines what is said of numbers over seeds: means with intervals, sign-flip tests with their floor, effect sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, stdev
from typing import Final

import numpy as np

from axpo.diagnostics.estimates import Estimate, estimate_mean

_T: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""The 97.5 % points of Student's t distribution for 1 to 30 degrees of freedom."""
_EXACT: Final = 16
"""Differences up to which every pattern of signs is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """What differences of pairs come to."""

    mean: float
    """Their mean."""
    low: float | None
    """Lower end of the 95 % interval over pairs (Student's t); None with fewer than two."""
    high: float | None
    """Upper end."""
    n: int
    """Pairs."""
    p: float
    """Two-sided p-value of the sign-flip test."""
    floor: float
    """The smallest p-value that so many pairs can give."""
    effect: float | None
    """Mean over standard deviation of the differences; None with fewer than two, or where they are all equal."""

    @property
    def verdict(self) -> str:
        """`more`, `less`, or `open` where the interval holds zero or there is none."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "open"
        return "more" if self.mean > 0 else "less"


def over_seeds(values: Sequence[float]) -> Estimate | None:
    """The mean of one number per seed, with Student's 95 % interval; None without seeds.

    Worked value: 1, 2 and 3 have the mean 2 and a standard error of 0.577: 2 - 4.303 x 0.577 = -0.484 to 4.484.
    """
    if not values:
        return None
    mean = fmean(values)
    if len(values) == 1:
        return Estimate(value=mean, n=1, low=None, high=None)
    half = _quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(value=mean, n=len(values), low=mean - half, high=mean + half)


def paired(differences: Sequence[float]) -> Paired | None:
    """What differences of pairs (two arms with the same seed) come to; None without any."""
    found = over_seeds(differences)
    if found is None:
        return None
    spread = stdev(differences) if len(differences) > 1 else 0.0
    return Paired(
        mean=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        p=sign_flip(differences),
        floor=2.0 ** max(1 - len(differences), -_EXACT),
        effect=found.value / spread if spread > 0 else None,
    )


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p-value of the hypothesis that differences are symmetric about zero: the share of all patterns of
    signs whose mean is at least as far from zero. Of more than 16 differences, 65,536 patterns are drawn.

    Worked value: three differences of one sign give 2 of 8 patterns, 0.25, whatever they are: the floor of three pairs.
    """
    given = np.asarray(differences, dtype=float)
    if len(given) <= _EXACT:
        signs = np.array(list(product((1, -1), repeat=len(given))))
    else:
        drawn = np.random.default_rng(0).choice((1, -1), size=(2**_EXACT - 1, len(given)))
        signs = np.vstack([np.ones(len(given)), drawn])
    return float((np.abs(signs @ given) >= abs(given.sum()) - 1e-12).mean())


def over_questions(ones: Sequence[str], others: Sequence[str], samples: int) -> Estimate | None:
    """The difference of Pass@1 between two arms with its 95 % interval over questions, seeds averaged.

    Args:
        ones: per seed, how often each question was solved by one arm: a digit per question, base 36.
        others: the same of the other arm, for the same questions and seeds.
        samples: rollouts per question.

    Returns:
        None without seeds, or where they were asked different numbers of questions.
    """
    if not ones or len({len(right) for right in (*ones, *others)}) != 1:
        return None
    pairs = list(zip(ones, others, strict=True))
    shares = [
        fmean(int(one[place], 36) - int(other[place], 36) for one, other in pairs) / samples
        for place in range(len(ones[0]))
    ]
    return estimate_mean(shares)


def _quantile(degrees: int) -> float:
    """Worked values: 12.706 for 1, 2.042 for 30, and for more the expansion 1.960 + 2.372 / degrees."""
    return _T[degrees - 1] if degrees <= len(_T) else 1.960 + 2.372 / degrees
