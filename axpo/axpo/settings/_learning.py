"""Defines the settings of what is learned from rollouts: how rewards become advantages, and the loss."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from axpo.settings.values import Count, CountOrNone, NonNegative, Positive, Probability, Share


class Aggregation(StrEnum):
    """How token losses become one number."""

    TOKEN_MEAN = "token_mean"
    """Mean over all trained tokens of the mini-batch."""
    SEQUENCE_MEAN = "sequence_mean"
    """Mean over sequences of each sequence's token mean."""
    SEQUENCE_SUM = "sequence_sum"
    """Mean over sequences of each sequence's token sum, divided by the constant `sum_length`: no length is made up for
    (Dr. GRPO, arXiv:2503.20783)."""


class KlEstimator(StrEnum):
    """How the KL to the reference is estimated at a sampled token (J. Schulman, "Approximating KL Divergence", 2020).

    With d = log pi - log pi_ref. k1 and k2 descend the KL of the policy from the reference without bias where tokens
    were sampled by the policy itself, k3 that of the reference from the policy.
    """

    K1 = "k1"
    """d: unbiased, may be negative. Its own gradient is zero on average, so that of k2 is taken."""
    K2 = "k2"
    """d^2 / 2: biased, never negative."""
    K3 = "k3"
    """exp(-d) + d - 1: unbiased, never negative; GRPO's and AXPO's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantageConfig:
    """How rewards become advantages."""

    prefix_credit: bool = True
    """Eq. 3 and 4: the source's prefix is credited with recovery. Off: the source keeps its own reward."""
    separate_groups: bool = True
    """Eq. 2: continuations are normalized among themselves. Off: they join the source's group."""
    continuation_loss: bool = True
    """Whether continuations are trained at all."""
    divide_by_std: bool = True
    """Divide by the standard deviation. Off: rewards less their mean (Dr. GRPO, arXiv:2503.20783)."""
    strata: Probability = 0.0
    """Weight of the advantage among the group's rollouts that call a tool, or among those that call none, against that
    among all (Stratified GRPO, arXiv:2510.06214); sources of prefixes and continuations are credited as without."""
    strata_lift: bool = False
    """Let strata only raise advantages, and only those below 0."""
    graded: bool = False
    """Eq. 3 with the mean of the continuations' rewards in place of 1 or 0, and Eq. 2 without the division by the
    standard deviation: r_k - mean (the mean as a value, as in VinePPO, arXiv:2410.01679)."""
    mask_truncated: bool = False
    """Leave rollouts and continuations that ran over a turn or token limit out of the loss (they stay in mean and
    standard deviation). A prefix credited by Eq. 4 is trained all the same: it is judged by its continuations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Eq. 5 and 6."""

    clip_low: Share = 0.2
    """The probability ratio is clipped below 1 - clip_low."""
    clip_high: Positive = 0.4
    """The probability ratio is clipped above 1 + clip_high."""
    kl: NonNegative = 1e-3
    """Weight of the KL to the reference policy; 0 needs no reference."""
    kl_estimator: KlEstimator = KlEstimator.K3
    """How that KL is estimated."""
    entropy: NonNegative = 0.0
    """Weight of the entropy, which is maximized beside the objective; 0 leaves it alone."""
    entropy_floor: NonNegative = 0.0
    """Nats per token. Above 0 the weight is `entropy` times what the step's entropy is short of it; 0 for no floor."""
    aggregation: Aggregation = Aggregation.TOKEN_MEAN
    """How token losses become one number."""
    sum_length: Count = 1024
    """What `sequence_sum` divides by: tokens."""
    max_importance: NonNegative | None = None
    """Bound of the importance weights between sampler and learner (truncated importance sampling); 0 for no weights, so
    that the loss's own ratio is to the sampler. None: 2 where another engine or older weights sample, 0 elsewhere; the
    run's config.toml records which."""
    skip_zero_advantage: bool = True
    """Leave stretches with advantage 0 out of the forward pass: they have no policy gradient, but then no KL and no
    entropy either. They count in the denominator all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayConfig:
    """Which continuations are learned from again (after SPEAR, arXiv:2509.22601); see `axpo.algorithm.replay`."""

    steps: CountOrNone = 0
    """Steps behind its own in which a continuation with a positive advantage is learned from again; 0 for none."""
    most: Count = 32
    """Continuations that a step learns from again, the newest first."""
    weight: Positive = 1.0
    """Weight of the mean over their tokens, beside that over the step's own."""
    warmup_steps: CountOrNone = 20
    """Steps of the run in which that weight rises from 0, along half a cosine."""
