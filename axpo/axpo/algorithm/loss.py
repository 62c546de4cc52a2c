"""Defines the loss of Eq. 5 and 6: a policy gradient with asymmetric clipping, and a KL to the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from axpo.settings.config import LossConfig
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch

MAX_LOG_RATIO: Final = 20.0
"""Differences of log-probabilities are clamped to this size before they are exponentiated (e^20 = 4.9e8 is far from
float32's limit). Beyond it a token has no gradient; only a policy that has left its sampler altogether gets there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What the loss knows of each sampled token besides its log-probability: float32 tensors of shape (T,)."""

    old_logprobs: torch.Tensor
    """Log-probability under the policy that sampled it."""
    advantages: torch.Tensor
    """Advantage; 0 where not trained."""
    weights: torch.Tensor
    """Share of the token in the mean over its mini-batch (see `TrainItem.weight`); 0 where not trained."""
    sequences: torch.Tensor
    """Which of the micro-batch's sequences the token belongs to, counted from 0: int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossStats:
    """Sums over trained tokens; sums of micro-batches add up to those of their mini-batch."""

    tokens: int
    """Trained tokens."""
    clipped_low: float
    """Tokens with a negative advantage whose ratio fell below 1 - clip_low: they have no policy gradient."""
    clipped_high: float
    """Tokens with a positive advantage whose ratio rose above 1 + clip_high: they have no policy gradient."""
    ratio: float
    """Probability ratios to the sampling policy."""
    entropy: float
    """Negative log-probabilities: an estimate of the entropy as long as the ratio stays near 1."""
    kl: float | None
    """k3 estimates of the KL to the reference; None without a reference."""

    def __add__(self, other: LossStats) -> LossStats:
        return LossStats(
            tokens=self.tokens + other.tokens,
            clipped_low=self.clipped_low + other.clipped_low,
            clipped_high=self.clipped_high + other.clipped_high,
            ratio=self.ratio + other.ratio,
            entropy=self.entropy + other.entropy,
            kl=None if self.kl is None or other.kl is None else self.kl + other.kl,
        )

    def means(self) -> dict[str, float | None]:
        """Means per trained token, by metric name; None where undefined."""
        sums = {
            "clip_low": self.clipped_low,
            "clip_high": self.clipped_high,
            "ratio": self.ratio,
            "entropy": self.entropy,
            "kl": self.kl,
        }
        return {
            name: total / self.tokens if total is not None and self.tokens else None for name, total in sums.items()
        }


def policy_loss(
    logprobs: torch.Tensor, targets: Targets, config: LossConfig, *, reference: torch.Tensor | None = None
) -> tuple[torch.Tensor, LossStats]:
    """The loss of one micro-batch; losses (and gradients) of micro-batches add up to that of their mini-batch.

    Eq. 5 and 6 with rho = pi / pi_old: minimize
    -sum_t w_t [min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t) - kl * k3_t], where
    k3 = pi_ref / pi - log(pi_ref / pi) - 1 and the weights w carry the aggregation.

    Args:
        logprobs: log-probability of every sampled token under the current policy, shape (T,), with gradient.
        targets: what those tokens are trained towards.
        config: bounds and KL weight.
        reference: log-probabilities under the reference policy, shape (T,); needed when `config.kl` > 0.

    Returns:
        The loss, a scalar, and its statistics.

    Raises:
        ValueError: shapes differ, or the reference is missing.
    """
    _check(logprobs, targets, config, reference)
    trained = targets.weights > 0
    current = logprobs[trained].float()
    advantages, weights = targets.advantages[trained], targets.weights[trained]
    ratio = (current - targets.old_logprobs[trained]).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    clipped = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    objective = torch.minimum(ratio * advantages, clipped * advantages)
    k3 = None
    if reference is not None:
        log_ratio = (reference[trained].float() - current).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        k3 = log_ratio.exp() - log_ratio - 1
        objective = objective - config.kl * k3
    loss = -(weights * objective).sum()
    with torch.no_grad():
        low = ((ratio < 1 - config.clip_low) & (advantages < 0)).sum()
        high = ((ratio > 1 + config.clip_high) & (advantages > 0)).sum()
        kl = torch.zeros(()) if k3 is None else k3.sum()
        sums = torch.stack([x.double().cpu() for x in (low, high, ratio.sum(), -current.sum(), kl)]).tolist()
    stats = LossStats(
        tokens=current.numel(),
        clipped_low=sums[0],
        clipped_high=sums[1],
        ratio=sums[2],
        entropy=sums[3],
        kl=None if k3 is None else sums[4],
    )
    return loss, stats


def _check(logprobs: torch.Tensor, targets: Targets, config: LossConfig, reference: torch.Tensor | None) -> None:
    if config.kl > 0 and reference is None:
        raise ValueError(f"loss.kl is {config.kl}, so the reference's log-probabilities are needed; got None")
    tensors = [logprobs, targets.old_logprobs, targets.advantages, targets.weights]
    tensors += [] if reference is None else [reference]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if logprobs.ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(
            f"the loss expects flat tensors of one length (sampled tokens of the micro-batch); got {shapes}"
        )
