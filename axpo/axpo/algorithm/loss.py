"""Defines the loss of Eq. 5 and 6: a policy gradient with asymmetric clipping, and a KL to the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from axpo.settings.config import KlEstimator, LossConfig
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
    """Estimates of the KL to the reference (`LossConfig.kl_estimator`); None without a reference."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedTokens:
    """The trained tokens of a micro-batch, what every loss is made of: tensors of shape (T,)."""

    current: torch.Tensor
    """Log-probability under the current policy, float32, with gradient."""
    log_ratio: torch.Tensor
    """Log of the probability ratio to the sampling policy, clamped to `MAX_LOG_RATIO`, with gradient."""
    advantages: torch.Tensor
    """Advantage."""
    weights: torch.Tensor
    """Share in the mean over the mini-batch."""
    sequences: torch.Tensor
    """Which sequence the token belongs to: int64."""
    kl: torch.Tensor | None
    """Estimate of the KL to the reference, with gradient; None without a reference."""

    @classmethod
    def of(
        cls, logprobs: torch.Tensor, targets: Targets, config: LossConfig, reference: torch.Tensor | None
    ) -> TrainedTokens:
        """Picks them out; takes what a loss takes.

        Raises:
            ValueError: shapes differ, or the reference is missing.
        """
        _check(logprobs, targets, config, reference)
        trained = targets.weights > 0
        current = logprobs[trained].float()
        return cls(
            current=current,
            log_ratio=(current - targets.old_logprobs[trained]).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO),
            advantages=targets.advantages[trained],
            weights=targets.weights[trained],
            sequences=targets.sequences[trained],
            kl=None if reference is None else kl_estimate(current, reference[trained].float(), config.kl_estimator),
        )

    def loss(
        self,
        objective: torch.Tensor,
        config: LossConfig,
        *,
        ratio: torch.Tensor,
        clipped: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, LossStats]:
        """Minus the weighted sum of what is maximized (objective, less KL, plus entropy), and the statistics.

        Args:
            objective: what every token contributes, shape (T,).
            config: the weights of KL and entropy.
            ratio: the probability ratios that were used, shape (T,).
            clipped: which tokens the lower and the upper bound held, shape (T,) each.
        """
        if self.kl is not None:
            objective = objective - config.kl * self.kl
        if config.entropy > 0:
            objective = objective + config.entropy * entropy_estimate(self.current)
        loss = -(self.weights * objective).sum()
        with torch.no_grad():
            low, high = (bound.sum() for bound in clipped)
            kl = torch.zeros(()) if self.kl is None else self.kl.sum()
            parts = (low, high, ratio.sum(), -self.current.sum(), kl)
            sums = torch.stack([part.double().cpu() for part in parts]).tolist()
        stats = LossStats(
            tokens=self.current.numel(),
            clipped_low=sums[0],
            clipped_high=sums[1],
            ratio=sums[2],
            entropy=sums[3],
            kl=None if self.kl is None else sums[4],
        )
        return loss, stats


def policy_loss(
    logprobs: torch.Tensor, targets: Targets, config: LossConfig, *, reference: torch.Tensor | None = None
) -> tuple[torch.Tensor, LossStats]:
    """The loss of one micro-batch; losses (and gradients) of micro-batches add up to that of their mini-batch.

    Eq. 5 and 6 with rho = pi / pi_old: minimize
    -sum_t w_t [min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t) - kl * k3_t], where
    k3 = pi_ref / pi - log(pi_ref / pi) - 1, or what `config.kl_estimator` names; the weights w carry the aggregation.

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
    tokens = TrainedTokens.of(logprobs, targets, config, reference)
    return clipped_loss(tokens, tokens.log_ratio.exp(), config)


def clipped_loss(tokens: TrainedTokens, ratio: torch.Tensor, config: LossConfig) -> tuple[torch.Tensor, LossStats]:
    """The loss of Eq. 6 with these probability ratios, shape (T,): each token's own, or those of whole sequences."""
    advantages = tokens.advantages
    clipped = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    objective = torch.minimum(ratio * advantages, clipped * advantages)
    low = (ratio < 1 - config.clip_low) & (advantages < 0)
    high = (ratio > 1 + config.clip_high) & (advantages > 0)
    return tokens.loss(objective, config, ratio=ratio, clipped=(low, high))


def kl_estimate(current: torch.Tensor, reference: torch.Tensor, estimator: KlEstimator) -> torch.Tensor:
    """The KL to the reference at sampled tokens, from log-probabilities of shape (T,), with gradient.

    Worked values: log-probabilities -1 and, of the reference, -1.5 have d = 0.5: k1 = 0.5, k2 = 0.125,
    k3 = exp(-0.5) + 0.5 - 1 = 0.107.
    """
    log_ratio = (reference - current).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    if estimator is KlEstimator.K3:
        return log_ratio.exp() - log_ratio - 1
    k2 = log_ratio.square() / 2
    return k2 if estimator is KlEstimator.K2 else k2 - (k2 + log_ratio).detach()


def entropy_estimate(current: torch.Tensor) -> torch.Tensor:
    """The entropy at tokens that the policy sampled, -log pi, of shape (T,).

    Its gradient is that of the entropy, on average over samples: d/dx sum_a -pi log pi = E[-log pi d/dx log pi]. (The
    gradient of -log pi itself is zero on average.)
    """
    fixed = current.detach()
    return -fixed * (current - fixed) - fixed


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
