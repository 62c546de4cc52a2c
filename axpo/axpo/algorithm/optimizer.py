"""Defines the optimizer: AdamW or another over float32 weights, whatever type the policy computes in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from axpo.algorithm._eight_bit import load_moments, make_adamw, plain
from axpo.algorithm._schedule import learning_rate
from axpo.settings.config import Algorithm, OptimConfig
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch

_MASTER: Final = "master"


class Optimizer:
    """AdamW (or what the configuration asks for) with gradient clipping and float32 master weights.

    A bfloat16 weight keeps 8 bits of mantissa: a step of 1e-6 on a weight of 0.02 is 80 times below its spacing and
    would be lost. Parameters of lower precision are therefore updated in a float32 copy and rounded afterwards;
    float32 parameters are updated in place.

    Args:
        parameters: the trainable parameters, in an order that does not change between processes.
        config: the optimizer's settings, with a learning rate.
        steps: steps of the run, over which the learning rate's schedule stretches.
        keeps_weights: whether the weights are part of the optimizer's state, because the policy's own files do not hold
            these parameters apart (LoRA adapters, merged when saved). Float32 copies always are.

    Raises:
        ValueError: there is nothing to train, or no learning rate.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        config: OptimConfig,
        *,
        steps: int = 1,
        keeps_weights: bool = False,
    ) -> None:
        self._parameters = list(parameters)
        if not self._parameters:
            raise ValueError("the policy has no trainable parameters")
        self._config = config
        self._steps = steps
        self._keeps_weights = keeps_weights
        self._masters = [p if p.dtype == torch.float32 else p.detach().float() for p in self._parameters]
        self._inner = _ALGORITHMS[config.algorithm](self._masters, config, learning_rate(config, 1, steps=steps))

    def start_step(self, step: int) -> float:
        """Sets the learning rate of a training step (counted from 1), and returns it."""
        lr = learning_rate(self._config, step, steps=self._steps)
        self.set_lr(lr)
        return lr

    def set_lr(self, lr: float) -> None:
        """Sets the learning rate of the steps to come."""
        for group in self._inner.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for parameter in (*self._parameters, *self._masters):
            parameter.grad = None

    def gradient_norm(self) -> float:
        """Clips the gradients to the configured norm; returns the norm they had."""
        for parameter, master in self._copies():
            master.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        return float(self._clipped())

    def step(self) -> None:
        """Applies the gradients that `gradient_norm` has clipped."""
        self._inner.step()
        with torch.no_grad():
            for parameter, master in self._copies():
                parameter.copy_(master)

    def is_finite(self) -> bool:
        """Whether every weight is a finite number."""
        return all(bool(torch.isfinite(master).all()) for master in self._masters)

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that `load_state` needs besides the policy's files, named `<parameter>.<what>`."""
        tensors = {
            f"{index}.{_MASTER}": master
            for index, master in enumerate(self._masters)
            if self._keeps_weights or master is not self._parameters[index]
        }
        for index, master in enumerate(self._masters):
            for name, value in self._inner.state.get(master, {}).items():
                if value is not None:
                    tensors[f"{index}.{name}"] = plain(value, master) if self._is_eight_bit else value
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Continues from what `state` returned.

        Raises:
            ValueError: the tensors do not fit the parameters.
        """
        moments: dict[int, dict[str, torch.Tensor]] = {}
        with torch.no_grad():
            for name, tensor in tensors.items():
                number, _, kind = name.partition(".")
                index = int(number)
                if index >= len(self._masters) or not _fits(tensor, self._masters[index]):
                    raise ValueError(f"optimizer state {name} of shape {tuple(tensor.shape)} fits no parameter")
                if kind == _MASTER:
                    self._masters[index].copy_(tensor)
                    self._parameters[index].copy_(tensor)
                else:
                    moments.setdefault(index, {})[kind] = tensor.clone()
        if self._is_eight_bit:
            load_moments(self._inner, self._masters, moments)
            return
        layout = self._inner.state_dict()
        self._inner.load_state_dict({"state": moments, "param_groups": layout["param_groups"]})

    @property
    def _is_eight_bit(self) -> bool:
        return self._config.algorithm is Algorithm.ADAMW_8BIT

    def _clipped(self) -> torch.Tensor:
        """The norm of the gradients, which are clipped."""
        return torch.nn.utils.clip_grad_norm_(self._masters, self._config.max_grad_norm)

    def _copies(self) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
        pairs = zip(self._parameters, self._masters, strict=True)
        return [(parameter, master) for parameter, master in pairs if parameter is not master]


def _fits(state: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether a state belongs to a weight: it is a number, or has the weight's shape but for sums over dimensions."""
    sizes = zip(state.shape, weight.shape, strict=False)
    return state.ndim == 0 or (state.ndim == weight.ndim and all(size in (1, whole) for size, whole in sizes))


def _adamw(weights: list[torch.Tensor], config: OptimConfig, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(weights, lr=lr, betas=config.betas, weight_decay=config.weight_decay)


def _adafactor(weights: list[torch.Tensor], config: OptimConfig, lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adafactor(weights, lr=lr, weight_decay=config.weight_decay)


def _sgd(weights: list[torch.Tensor], config: OptimConfig, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr=lr, momentum=config.betas[0], weight_decay=config.weight_decay)


_ALGORITHMS: Final[dict[Algorithm, Callable[[list[torch.Tensor], OptimConfig, float], torch.optim.Optimizer]]] = {
    Algorithm.ADAMW: _adamw,
    Algorithm.ADAMW_8BIT: make_adamw,
    Algorithm.ADAFACTOR: _adafactor,
    Algorithm.SGD: _sgd,
}
