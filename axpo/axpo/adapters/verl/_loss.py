"""Defines `axpo_policy_loss`, Eq. 5 as a policy loss of verl: clipped on both sides, without a third bound."""

from __future__ import annotations

from typing import Any

from axpo_envs.plumbing.extras import requiring

with requiring("verl", "AXPO in verl"):
    import torch


def axpo_policy_loss(  # noqa: PLR0913, PLR0917  # the signature is verl's
    old_log_prob: torch.Tensor,
    log_prob: torch.Tensor,
    advantages: torch.Tensor,
    response_mask: torch.Tensor,
    loss_agg_mode: str = "token-mean",
    config: Any = None,
    rollout_is_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """-min(r A, clip(r, 1 - clip_ratio_low, 1 + clip_ratio_high) A), aggregated as verl is told.

    verl's `vanilla` also bounds the loss of negative advantages by `clip_ratio_c`; the paper has no such bound.

    Args:
        old_log_prob: under the weights that sampled, shape (rows, tokens).
        log_prob: under the weights that are trained.
        advantages: of every token.
        response_mask: 1 where a token is trained.
        loss_agg_mode: verl's: "token-mean" is the paper's.
        config: the actor's settings: `clip_ratio`, `clip_ratio_low` and `clip_ratio_high`.
        rollout_is_weights: verl's correction for differences between sampler and learner.

    Returns:
        The loss, a scalar, and metrics.
    """
    from verl.trainer.ppo.core_algos import agg_loss

    low = config.clip_ratio_low if config.clip_ratio_low is not None else config.clip_ratio
    high = config.clip_ratio_high if config.clip_ratio_high is not None else config.clip_ratio
    difference = (log_prob - old_log_prob).clamp(-20.0, 20.0)
    ratio = difference.exp()
    plain, clipped = ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages
    losses = -torch.minimum(plain, clipped)
    if rollout_is_weights is not None:
        losses = losses * rollout_is_weights
    loss = agg_loss(
        loss_mat=losses, loss_mask=response_mask, loss_agg_mode=loss_agg_mode, **dict(config.global_batch_info)
    )
    count = response_mask.sum().clamp(min=1)
    metrics = {
        "actor/pg_clipfrac": ((clipped < plain) * response_mask).sum().div(count).item(),
        "actor/ppo_kl": (-difference * response_mask).sum().div(count).item(),
    }
    return loss, metrics
