"""Defines GSPO, group sequence policy optimization (arXiv:2507.18071, Eq. 5 and 7): one ratio a sequence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from axpo.algorithm.methods.method import Method
from axpo.settings.config import Aggregation, LossConfig, TrainConfig

if TYPE_CHECKING:
    import torch

    from axpo.algorithm.loss import LossStats, Targets


def gspo_loss(
    logprobs: torch.Tensor, targets: Targets, config: LossConfig, *, reference: torch.Tensor | None = None
) -> tuple[torch.Tensor, LossStats]:
    """Minimizes -sum_i w_i min(s_i A_i, clip(s_i, 1 - clip_low, 1 + clip_high) A_i), plus the KL, over sequences i.

    s_i = exp(mean over the trained tokens of sequence i of log pi - log pi_old). A sequence that is clipped has no
    policy gradient at any of its tokens. Arguments, results and errors are those of `policy_loss`.

    Worked value: log ratios (0.2, 0.4) have s = exp(0.3) at both tokens.
    """
    # Methods have names where torch is not installed; only their losses need it.
    from axpo.algorithm.loss import TrainedTokens, clipped_loss

    tokens = TrainedTokens.of(logprobs, targets, config, reference)
    sequences = tokens.sequences
    counts = sequences.bincount()
    sums = tokens.log_ratio.new_zeros(len(counts)).index_add(0, sequences, tokens.log_ratio)
    return clipped_loss(tokens, (sums / counts.clamp(min=1)).exp()[sequences], config)


def _configure(config: TrainConfig) -> TrainConfig:
    loss = replace(config.loss, clip_low=3e-4, clip_high=4e-4, aggregation=Aggregation.SEQUENCE_MEAN)
    return replace(config, loss=loss)


GSPO: Final = Method(name="gspo", label="GSPO", loss=gspo_loss, configure=_configure)
"""GRPO with ratios and clipping of whole sequences, at the paper's bounds 3e-4 and 4e-4; compared with GRPO.

The KL stays what the settings say; the paper has none."""
