from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from axpo.algorithm.optimizer import Optimizer
from axpo.settings.config import Algorithm, OptimConfig, Schedule

CONFIG = OptimConfig(lr=1e-3, warmup_steps=4, weight_decay=0.1)


def parameters(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in ((4, 3), (5,))]


def train(weights: list[torch.nn.Parameter], optimizer: Optimizer, steps: range) -> None:
    """Follows gradients that depend on the step alone; the second parameter has none in odd steps."""
    for step in steps:
        optimizer.start_step(step)
        optimizer.zero_grad()
        generator = torch.Generator().manual_seed(step)
        for weight in weights[: 1 if step % 2 else 2]:
            weight.grad = torch.randn(weight.shape, generator=generator).to(weight.dtype)
        optimizer.gradient_norm()
        optimizer.step()


class TestStep:
    def test_equals_torch_adamw_with_clipping(self) -> None:
        weights, expected = parameters(torch.float32), parameters(torch.float32)
        config = OptimConfig(lr=1e-2, betas=(0.8, 0.9), weight_decay=0.1, max_grad_norm=0.5)
        optimizer = Optimizer(weights, config)
        plain = torch.optim.AdamW(expected, lr=1e-2, betas=(0.8, 0.9), weight_decay=0.1)
        for step in range(1, 4):
            optimizer.start_step(step)
            for weight in (*weights, *expected):
                weight.grad = torch.full_like(weight, float(step))
            norm = torch.nn.utils.clip_grad_norm_(expected, 0.5)
            plain.step()
            assert optimizer.gradient_norm() == pytest.approx(float(norm))
            optimizer.step()
        for weight, wanted in zip(weights, expected, strict=True):
            torch.testing.assert_close(weight, wanted, rtol=0, atol=0)

    def test_learning_rate_warms_up_linearly(self) -> None:
        optimizer = Optimizer(parameters(torch.float32), CONFIG)
        rates = [optimizer.start_step(step) for step in range(1, 7)]
        assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])
        assert Optimizer(parameters(torch.float32), OptimConfig(lr=1e-3)).start_step(1) == 1e-3

    def test_steps_below_the_spacing_of_bfloat16_add_up(self) -> None:
        weight = torch.nn.Parameter(torch.full((2,), 0.02, dtype=torch.bfloat16))
        start = weight.detach().float().clone()
        optimizer = Optimizer([weight], OptimConfig(lr=1e-6))
        for step in range(1, 401):
            weight.grad = torch.ones_like(weight)
            optimizer.start_step(step)
            optimizer.gradient_norm()
            optimizer.step()
        moved = (start - weight.detach().float()).tolist()
        assert moved == pytest.approx([4e-4, 4e-4], rel=0.2)

    def test_zero_grad_forgets(self) -> None:
        weights = parameters(torch.float32)
        optimizer = Optimizer(weights, CONFIG)
        weights[0].grad = torch.ones_like(weights[0])
        optimizer.zero_grad()
        assert optimizer.gradient_norm() == 0.0


class TestState:
    @pytest.mark.parametrize("algorithm", [Algorithm.ADAMW, Algorithm.ADAFACTOR, Algorithm.SGD])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_training_goes_on_bit_for_bit_from_a_saved_state(self, dtype: torch.dtype, algorithm: Algorithm) -> None:
        config = replace(CONFIG, algorithm=algorithm)
        straight = parameters(dtype)
        train(straight, Optimizer(straight, config), range(1, 10))
        first = parameters(dtype)
        optimizer = Optimizer(first, config)
        train(first, optimizer, range(1, 5))
        state = {name: tensor.clone() for name, tensor in optimizer.state().items()}
        second = [torch.nn.Parameter(weight.detach().clone()) for weight in first]
        resumed = Optimizer(second, config)
        resumed.load_state(state)
        train(second, resumed, range(5, 10))
        assert all(torch.equal(a, b) for a, b in zip(straight, second, strict=True))

    def test_holds_the_weights_where_nothing_else_does(self) -> None:
        trained = parameters(torch.float32)
        optimizer = Optimizer(trained, CONFIG, keeps_weights=True)
        train(trained, optimizer, range(1, 4))
        fresh = parameters(torch.float32)
        other = Optimizer(fresh, CONFIG, keeps_weights=True)
        other.load_state(optimizer.state())
        assert all(torch.equal(a, b) for a, b in zip(trained, fresh, strict=True))
        assert not any(name.endswith("master") for name in Optimizer(fresh, CONFIG).state())

    def test_refuses_tensors_that_fit_no_parameter(self) -> None:
        optimizer = Optimizer(parameters(torch.float32), CONFIG)
        with pytest.raises(ValueError, match=r"state 0\.exp_avg of shape \(2,\) fits no parameter"):
            optimizer.load_state({"0.exp_avg": torch.zeros(2)})
        with pytest.raises(ValueError, match=r"7\.exp_avg"):
            optimizer.load_state({"7.exp_avg": torch.zeros(4, 3)})

    def test_sees_weights_that_are_not_finite(self) -> None:
        weights = parameters(torch.float32)
        optimizer = Optimizer(weights, CONFIG)
        assert optimizer.is_finite()
        weights[1].data[2] = torch.nan
        assert not optimizer.is_finite()


def test_sgd_steps_by_the_gradient_and_its_momentum() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    config = OptimConfig(lr=0.1, algorithm=Algorithm.SGD, betas=(0.5, 0.9), max_grad_norm=100)
    optimizer = Optimizer([weight], config, steps=2)
    for expected in (-0.1, -0.25):  # velocities 1 and 1.5
        optimizer.zero_grad()
        weight.grad = torch.ones(1)
        optimizer.gradient_norm()
        optimizer.step()
        assert weight.item() == pytest.approx(expected)


def test_the_schedule_sets_the_rate_of_each_step() -> None:
    optimizer = Optimizer(parameters(torch.float32), OptimConfig(lr=1.0, schedule=Schedule.LINEAR), steps=5)
    assert [optimizer.start_step(step) for step in range(1, 6)] == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_needs_something_to_train_and_a_learning_rate() -> None:
    with pytest.raises(ValueError, match="no trainable parameters"):
        Optimizer([], CONFIG)
    with pytest.raises(ValueError, match="expected a learning rate"):
        Optimizer(parameters(torch.float32), OptimConfig())
