"""Defines AdamW with moments of 8 bits (arXiv:2110.02861), through the library torchao."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Final

from axpo.settings.config import OptimConfig
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch

EIGHT_BIT: Final = "eight-bit"
"""The extra that brings it."""


def make_adamw(weights: Sequence[torch.Tensor], config: OptimConfig, lr: float) -> torch.optim.Optimizer:
    """The optimizer; weights of fewer than 4,096 numbers, or of no multiple of 256, have plain moments.

    Raises:
        MissingExtraError: torchao is not installed.
    """
    with requiring(EIGHT_BIT, "the optimizer adamw_8bit"):
        library = importlib.import_module("torchao.optim")
    made: torch.optim.Optimizer = library.AdamW8bit(
        list(weights), lr=lr, betas=config.betas, weight_decay=config.weight_decay
    )
    return made


def plain(moment: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A moment as plain float32 numbers, which checkpoints hold; one that is plain is left as it is."""
    if moment.shape != weight.shape:
        return moment
    return torch.zeros_like(weight, dtype=torch.float32).copy_(moment)


def load_moments(
    optimizer: torch.optim.Optimizer, weights: Sequence[torch.Tensor], moments: Mapping[int, Mapping[str, torch.Tensor]]
) -> None:
    """Continues from plain moments: those that the optimizer makes of zero gradients are overwritten.

    Args:
        optimizer: made by `make_adamw`; has made no step.
        weights: what it trains; their gradients are dropped.
        moments: by number of the weight and by name.
    """
    rates = [group["lr"].clone() for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"].zero_()
    for index in moments:
        weights[index].grad = torch.zeros_like(weights[index])
    optimizer.step()
    for index, named in moments.items():
        weights[index].grad = None
        for name, value in named.items():
            optimizer.state[weights[index]][name].copy_(value)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"].copy_(rate)
