"""Defines how top-k and top-p restrict a distribution, in sampling and in scoring alike."""

from __future__ import annotations

import torch

from axpo_agents.types import Truncation


@torch.no_grad()
def lowest_kept(logits: torch.Tensor, truncation: Truncation) -> torch.Tensor:
    """The lowest logit that stays possible: of the `top_k` highest, the fewest whose probability reaches `top_p`.

    Logits that equal it stay, too. Probabilities are those among the `top_k`, as inference servers have it.

    Args:
        logits: float32, already divided by the temperature, shape (..., vocabulary).
        truncation: what stays.

    Returns:
        Shape (..., 1).
    """
    size = logits.shape[-1]
    ordered = logits.topk(min(truncation.top_k or size, size)).values
    if truncation.top_p >= 1.0:
        return ordered[..., -1:]
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    last = (before < truncation.top_p).sum(-1, keepdim=True) - 1
    return ordered.gather(-1, last.clamp(min=0))


def truncated(logits: torch.Tensor, lowest: torch.Tensor) -> torch.Tensor:
    """The logits, -inf where they lie below the lowest that stays possible."""
    return logits.masked_fill(logits < lowest, -torch.inf)
