"""Defines `Choices`, tokens to be scored, and how their log-probabilities come from hidden states without all logits.

A vocabulary of 150,000 makes the logits of 10,000 tokens 6 GB, and a backward pass holds them several times. Where they
would be large, they are made piece by piece, forgotten, and made again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.checkpoint import checkpoint

from axpo_agents.engine._truncation import lowest_kept, truncated
from axpo_agents.types import WHOLE, Truncation

LOGITS_AT_ONCE: Final = 2**26
"""Logits that are held at a time: 256 MiB of float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choices:
    """Tokens to be scored, by the places that predict them."""

    places: npt.NDArray[np.bool_]
    """Which tokens of a batch predict something, shape (rows, length)."""
    rows: npt.NDArray[np.int64]
    """Which of those places each choice was made at, counted row by row; ascending, shape (choices,)."""
    tokens: npt.NDArray[np.int64]
    """The chosen ids, shape (choices,)."""
    temperature: float = 1.0
    """Divides the logits; above 0."""
    truncation: Truncation = WHOLE
    """Restricts the tempered distribution; a chosen token counts as kept."""


def choice_logprobs(
    hidden: torch.Tensor,
    head: Callable[[torch.Tensor], torch.Tensor],
    choices: Choices,
    *,
    at_once: int = LOGITS_AT_ONCE,
    vocabulary: int,
) -> torch.Tensor:
    """Log-probabilities of choices.

    Args:
        hidden: what the head reads at each place, shape (places, size).
        head: gives float32 logits, shape (places, vocabulary), of any part of it.
        choices: what was chosen.
        at_once: most logits that are held at a time.
        vocabulary: logits of one place.

    Returns:
        float32, shape (choices,).
    """
    size = max(1, at_once // vocabulary)
    starts = range(0, len(hidden), size)
    bounds = np.searchsorted(choices.rows, [*starts, len(hidden)])
    parts = []
    for start, first, last in zip(starts, bounds, bounds[1:], strict=False):
        rows, tokens = (
            torch.from_numpy(array[first:last]).to(hidden.device) for array in (choices.rows - start, choices.tokens)
        )
        part = hidden[start : start + size]
        if len(starts) > 1 and torch.is_grad_enabled():
            parts.append(checkpoint(_chosen, part, head, rows, tokens, choices, use_reentrant=False))
        else:
            parts.append(_chosen(part, head, rows, tokens, choices))
    return torch.cat(parts)


def _chosen(
    hidden: torch.Tensor,
    head: Callable[[torch.Tensor], torch.Tensor],
    rows: torch.Tensor,
    tokens: torch.Tensor,
    choices: Choices,
) -> torch.Tensor:
    logits = head(hidden)
    if choices.temperature != 1.0:
        logits = logits / choices.temperature
    chosen = logits[rows, tokens]
    if choices.truncation == WHOLE:
        return chosen - logits.logsumexp(-1)[rows]
    lowest = lowest_kept(logits, choices.truncation)
    kept = truncated(logits, lowest).logsumexp(-1)[rows]
    return chosen - torch.where(chosen < lowest[rows, 0], torch.logaddexp(kept, chosen), kept)
