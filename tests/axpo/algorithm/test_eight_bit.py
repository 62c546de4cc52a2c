from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from axpo.algorithm.optimizer import Optimizer
from axpo.settings.config import Algorithm, OptimConfig
from axpo_envs.plumbing.extras import MissingExtraError

CONFIG = OptimConfig(lr=1e-2, algorithm=Algorithm.ADAMW_8BIT)


class Coarse(torch.optim.Optimizer):
    """What of torchao's AdamW8bit matters: the learning rate is a tensor, moments are made by the first step and held
    in fewer bits than float32. (Importing the library itself takes longer than all tests of this room.)"""

    def __init__(self, weights: Any, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(weights, {"lr": torch.tensor(lr), "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            assert isinstance(group["lr"], torch.Tensor)
            for weight in group["params"]:
                if not self.state[weight]:
                    moment = torch.zeros_like(weight, dtype=torch.bfloat16)
                    self.state[weight] = {"step": torch.tensor(0.0), "exp_avg": moment}
                state = self.state[weight]
                state["step"] += 1
                state["exp_avg"].copy_(state["exp_avg"].float().lerp(weight.grad, 1 - group["betas"][0]))
                weight.sub_(group["lr"] * state["exp_avg"].float() / (1 - group["betas"][0] ** state["step"]))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchao.optim", SimpleNamespace(AdamW8bit=Coarse))


def weights() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(8, 4)), torch.nn.Parameter(torch.randn(5))]


def train(trained: list[torch.nn.Parameter], optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        optimizer.set_lr(0.01 * (step + 1))
        for weight in trained:
            weight.grad = torch.randn(weight.shape, generator=generator) + 1
        optimizer.gradient_norm()
        optimizer.step()


@pytest.mark.usefixtures("library")
def test_goes_on_from_its_state_as_if_it_had_not_been_interrupted():
    straight, first = weights(), weights()
    train(straight, Optimizer(straight, CONFIG), range(4))
    optimizer = Optimizer(first, CONFIG)
    train(first, optimizer, range(2))
    state = {name: tensor.clone() for name, tensor in optimizer.state().items()}
    assert {name: tensor.dtype for name, tensor in state.items()} == dict.fromkeys(state, torch.float32)
    second = [torch.nn.Parameter(weight.detach().clone()) for weight in first]
    resumed = Optimizer(second, CONFIG)
    resumed.load_state(state)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    train(second, resumed, range(2, 4))
    assert all(torch.equal(one, other) for one, other in zip(straight, second, strict=True))


def test_says_which_package_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    with pytest.raises(MissingExtraError, match=r"adamw_8bit needs torchao: pip install 'axpo\[eight-bit\]'"):
        Optimizer(weights(), CONFIG)
