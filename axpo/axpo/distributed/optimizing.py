"""Defines `DividedOptimizer`: the optimizer of weights that several processes train, whole or in parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from axpo.algorithm.optimizer import Optimizer
from axpo.distributed.ranks import Ranks
from axpo.settings.config import OptimConfig
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch
    from torch.distributed.tensor import DTensor, distribute_tensor


class DividedOptimizer(Optimizer):
    """An optimizer whose parameters are the same on all processes, or DTensors; gradients are means over processes.

    Its state is that of one process: whole tensors, which any number of processes continues from.

    Args:
        parameters: the trainable parameters.
        config: the optimizer's settings.
        ranks: the processes.
        steps: steps of the run.
        keeps_weights: see `Optimizer`.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        config: OptimConfig,
        ranks: Ranks,
        *,
        steps: int = 1,
        keeps_weights: bool = False,
    ) -> None:
        super().__init__(parameters, config, steps=steps, keeps_weights=keeps_weights)
        self._ranks = ranks

    def gradient_norm(self) -> float:
        """Clips the gradients to the configured norm; returns the norm they had on all processes together."""
        for parameter in self._parameters:
            if parameter.grad is not None:
                # Items are weighted by their shares of the whole batch: what is wanted is the sum over processes.
                parameter.grad.mul_(self._ranks.count)
        return super().gradient_norm()

    def is_finite(self) -> bool:
        """Whether every weight is a finite number, on all processes."""
        here = all(bool(torch.isfinite(_here(master)).all()) for master in self._masters)
        return all(self._ranks.exchange(here))

    def state(self) -> dict[str, torch.Tensor]:
        """See `Optimizer`. All processes must ask; the first one gets the tensors, in the CPU's memory where they were
        divided, and the others nothing."""
        found = {}
        for name, tensor in super().state().items():
            whole = whole_tensor(tensor)
            if self._ranks.is_first:
                found[name] = whole.cpu() if isinstance(tensor, DTensor) else whole
        return found

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Continues from what `state` returned to the first process; each takes its part."""
        super().load_state({name: self._divided(name, tensor) for name, tensor in tensors.items()})

    def _clipped(self) -> torch.Tensor:
        return whole_tensor(super()._clipped())

    def _divided(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        index = int(name.partition(".")[0])
        weight = self._masters[index] if index < len(self._masters) else None
        if not isinstance(weight, DTensor) or tensor.ndim == 0:
            return tensor
        here = tensor.to(weight.to_local().device)
        return distribute_tensor(here, weight.device_mesh, weight.placements, src_data_rank=None)


def whole_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with all its parts; all processes must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _here(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
