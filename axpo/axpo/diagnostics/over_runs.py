"""Defines `over_runs`: mean, spread and interval of a measure over few independent runs, such as seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class OverRuns:
    """A measure over runs."""

    mean: float
    """The mean over runs."""
    sd: float | None
    """The sample standard deviation; None of one run."""
    low: float | None
    """Lower end of the 95 % interval of the mean; None where there is none."""
    high: float | None
    """Upper end of that interval."""
    n: int
    """How many runs."""

    def as_dict(self) -> dict[str, Any]:
        """The form in which JSON files hold it."""
        return asdict(self)


def over_runs(values: Sequence[float]) -> OverRuns | None:
    """Mean, standard deviation and 95 % interval of independent values; None without any.

    The interval is Student's: mean +- t(0.975, n - 1) sd / sqrt(n). It takes the values for normally distributed, and
    with two or three runs it is wide, as it must be. There is none where all values are equal.

    Worked value: 1, 2, 3 give a mean of 2, a standard deviation of 1 and an interval of 2 +- 4.303 / sqrt(3).
    """
    if not values:
        return None
    mean, n = fmean(values), len(values)
    if n == 1:
        return OverRuns(mean=mean, sd=None, low=None, high=None, n=1)
    sd = stdev(values)
    if sd == 0:
        # That equal values have no spread is not known, and an interval without width would say so.
        return OverRuns(mean=mean, sd=0.0, low=None, high=None, n=n)
    half = student_quantile(n - 1) * sd / math.sqrt(n)
    return OverRuns(mean=mean, sd=sd, low=mean - half, high=mean + half, n=n)


def student_quantile(degrees: int) -> float:
    """The two-sided 95 % quantile of Student's distribution, found by bisection to 12 digits.

    Args:
        degrees: its degrees of freedom, at least 1.
    """
    low, high = 0.0, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        if _within(middle, degrees) < 0.95:
            low = middle
        else:
            high = middle
    return high


def _within(t: float, degrees: int) -> float:
    """The probability of lying within -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    if degrees == 1:
        return 2 * angle / math.pi
    odd = degrees % 2
    term = total = cosine if odd else 1.0
    for number in range(1 + odd, degrees - 2, 2):
        term *= cosine**2 * number / (number + 1)
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
