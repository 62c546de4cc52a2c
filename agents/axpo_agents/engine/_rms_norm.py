"""Defines `FusedRMSNorm`: root-mean-square normalization (arXiv:1910.07467) in fewer passes over memory.

The library normalizes in seven operations and keeps the results of most for the backward pass. In float32 on a CPU,
where no compiler joins them, that is a tenth of a training pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

import torch


class FusedRMSNorm(torch.nn.Module):
    """Divides by the root mean square over the last dimension, and multiplies by a weight.

    Args:
        weight: shape (size,).
        epsilon: added to the mean square.
    """

    def __init__(self, weight: torch.nn.Parameter, epsilon: float) -> None:
        super().__init__()
        self.weight = weight
        self.epsilon = epsilon

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Normalizes a tensor of shape (..., size)."""
        if torch.is_grad_enabled():
            normalize = cast("Callable[..., torch.Tensor]", _Normalize.apply)
            return normalize(hidden, self.weight, self.epsilon)
        return torch.nn.functional.rms_norm(hidden, self.weight.shape, self.weight, self.epsilon)


def fuse_norms(model: torch.nn.Module, norms: Collection[str]) -> None:
    """Replaces the library's modules of those classes in a float32 model on a CPU; names and weights stay."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ in norms and child.weight.dtype == torch.float32 and child.weight.is_cpu:
                weight = cast("torch.nn.Parameter", child.weight)
                setattr(parent, name, FusedRMSNorm(weight, float(cast("float", child.variance_epsilon))))


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        scale = torch.rsqrt(hidden.square().mean(-1, keepdim=True) + epsilon)
        normal = hidden * scale
        ctx.save_for_backward(normal, scale, weight)
        return normal * weight

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        normal, scale, weight = ctx.saved_tensors
        (gradient,) = gradients
        for_weight = (gradient * normal).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        inner = gradient * weight
        # Moving along the normalized vector only changes the norm that is divided out.
        for_hidden = (inner - normal * (inner * normal).mean(-1, keepdim=True)) * scale
        return for_hidden, for_weight, None
