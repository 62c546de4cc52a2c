"""Defines estimates with confidence intervals, for samples that come in groups, and the unbiased Pass@k."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, stdev
from typing import Final

Z: Final = NormalDist().inv_cdf(0.975)
"""Half-width of a two-sided 95 % interval in standard errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured mean with its 95 % confidence interval."""

    value: float
    """The mean."""
    n: int
    """How many things were counted: rollouts, calls, groups or questions, whatever the mean is over."""
    low: float | None
    """Lower end of the interval; None where one question cannot tell."""
    high: float | None
    """Upper end of the interval; None where one question cannot tell."""

    def as_dict(self) -> dict[str, float | int | None]:
        """The form in which JSON files hold it: value, n, low, high."""
        return asdict(self)


def estimate_ratio(
    parts: Sequence[float], wholes: Sequence[int], *, observations: int | None = None, signed: bool = False
) -> Estimate | None:
    """The ratio sum(parts) / sum(wholes) over independent questions, whose own samples are not independent.

    Its standard error is the linearized one of a ratio over clusters (Cochran, Sampling Techniques, 6.4). Shares
    (0 <= part <= whole) get a Wilson interval at the sample size at which independent samples would have that
    standard error: unlike the normal interval it stays within [0, 1] and keeps a width where all samples agree.
    Anything else gets the normal interval.

    Args:
        parts: per question, what is counted of its whole.
        wholes: per question, how many it is counted out of; questions with 0 do not matter.
        observations: upper bound of the equivalent number of independent samples; by default sum(wholes).
        signed: parts may be negative, as differences are: the normal interval, whatever these parts happen to be.

    Returns:
        None where sum(wholes) is 0.
    """
    pairs = [(part, whole) for part, whole in zip(parts, wholes, strict=True) if whole > 0]
    total = sum(whole for _, whole in pairs)
    if total == 0:
        return None
    value = math.fsum(part for part, _ in pairs) / total
    clusters = len(pairs)
    squares = math.fsum((part - value * whole) ** 2 for part, whole in pairs)
    variance = squares / total**2 * clusters / (clusters - 1) if clusters > 1 else None
    if not signed and all(0 <= part <= whole for part, whole in pairs):
        low, high = _wilson(value, _equivalent_samples(value, variance, clusters, observations or total))
        return Estimate(value=value, n=total, low=low, high=high)
    if variance is None:
        return Estimate(value=value, n=total, low=None, high=None)
    half = Z * math.sqrt(variance)
    return Estimate(value=value, n=total, low=value - half, high=value + half)


def estimate_mean(values: Sequence[float]) -> Estimate | None:
    """The mean of one number per question that is no share, with the normal interval; None without questions.

    Worked value: 1, 2 and 3 have the mean 2, a standard error of sqrt(1/3), and the interval 0.868 to 3.132.
    """
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Estimate(value=mean, n=1, low=None, high=None)
    half = Z * stdev(values) / math.sqrt(len(values))
    return Estimate(value=mean, n=len(values), low=mean - half, high=mean + half)


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased probability that some of k samples is right: 1 - C(n - c, k) / C(n, k) (arXiv:2107.03374, Eq. 1).

    Worked value: 2 right of 4 samples, k = 2: 1 - 1/6.

    Raises:
        ValueError: not 0 <= correct <= samples, or not 1 <= k <= samples.
    """
    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise ValueError(f"expected 0 <= correct <= samples and 1 <= k <= samples; got {samples=}, {correct=}, {k=}")
    return 1 - math.comb(samples - correct, k) / math.comb(samples, k)


def _equivalent_samples(value: float, variance: float | None, clusters: int, observations: int) -> float:
    spread = value * (1 - value)
    # Where nothing varies the data cannot tell how alike a question's samples are: assume fully.
    if variance is None or spread == 0:
        return clusters
    return observations if variance == 0 else min(max(spread / variance, 1.0), observations)


def _wilson(share: float, n: float) -> tuple[float, float]:
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # The exact ends touch the share where it is 0 or 1; rounding must not push them past it.
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))
