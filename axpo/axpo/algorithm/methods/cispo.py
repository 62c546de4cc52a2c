"""Defines CISPO (MiniMax-M1, arXiv:2506.13585, Eq. 4 and 5): importance weights are clipped, gradients are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo.algorithm.methods.method import Method
from axpo.settings.config import LossConfig

if TYPE_CHECKING:
    import torch

    from axpo.algorithm.loss import LossStats, Targets


def cispo_loss(
    logprobs: torch.Tensor, targets: Targets, config: LossConfig, *, reference: torch.Tensor | None = None
) -> tuple[torch.Tensor, LossStats]:
    """Minimizes -sum_t w_t [sg(min(rho_t, 1 + clip_high)) A_t log pi_t - kl * KL_t], sg stopping the gradient.

    Every token keeps its gradient, also where PPO's clipping would take it. As in the paper nothing is clipped from
    below. Unlike there a KL may stand beside it (`config.kl`), and the weights carry the aggregation.
    Arguments, results and errors are those of `policy_loss`.
    """
    # Methods have names where torch is not installed; only their losses need it.
    from axpo.algorithm.loss import TrainedTokens

    tokens = TrainedTokens.of(logprobs, targets, config, reference)
    ratio = tokens.log_ratio.detach().exp()
    objective = ratio.clamp(max=1 + config.clip_high) * tokens.advantages * tokens.current
    nothing = ratio < 0
    return tokens.loss(objective, config, ratio=ratio, clipped=(nothing, ratio > 1 + config.clip_high))


CISPO: Final = Method(name="cispo", label="CISPO", loss=cispo_loss)
"""GRPO with another loss; compared with GRPO at the same bound `clip_high`."""
