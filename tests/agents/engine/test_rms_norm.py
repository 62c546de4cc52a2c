"""Tests of axpo_agents.engine._rms_norm: the library's values and gradients, and what is replaced."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from axpo_agents.engine._rms_norm import FusedRMSNorm, fuse_norms
from axpo_agents.transformers_policy import TransformersPolicy


def test_the_worked_case() -> None:
    """(3, 4) has the mean square 12.5; divided by its root and weighted by (1, 10)."""
    norm = FusedRMSNorm(torch.nn.Parameter(torch.tensor([1.0, 10.0])), 0.0)
    expected = [3 / 12.5**0.5, 40 / 12.5**0.5]
    assert norm(torch.tensor([3.0, 4.0])).tolist() == pytest.approx(expected)
    with torch.no_grad():
        assert norm(torch.tensor([3.0, 4.0])).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(5, 8), (1, 7, 3, 8)])
def test_values_and_gradients_are_the_librarys(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    theirs = Qwen3RMSNorm(8, eps=1e-6)
    torch.nn.init.normal_(theirs.weight)
    ours = FusedRMSNorm(theirs.weight, 1e-6)
    upstream = torch.randn(shape)
    results = []
    for norm in (theirs, ours):
        hidden = torch.linspace(-2, 3, upstream.numel()).view(shape).requires_grad_()
        output = norm(hidden)
        results.append((output, *torch.autograd.grad(output, [hidden, theirs.weight], upstream)))
    for mine, plain in zip(results[1], results[0], strict=True):
        assert torch.allclose(mine, plain, atol=1e-6)


def test_gradients_are_those_of_finite_differences() -> None:
    norm = FusedRMSNorm(torch.nn.Parameter(torch.rand(4, dtype=torch.float64)), 1e-6)
    assert torch.autograd.gradcheck(norm, [torch.randn(3, 4, dtype=torch.float64, requires_grad=True)])


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl", "qwen2_vl", "qwen3"])
def test_loading_replaces_the_norms_of_the_language_model_and_keeps_their_names(
    family: Callable[[str], TransformersPolicy], name: str
) -> None:
    model = family(name).model
    left = [module for module in model.get_decoder().modules() if type(module).__name__.endswith("RMSNorm")]
    assert left
    assert {type(module) for module in left} == {FusedRMSNorm}
    assert any(key.endswith("input_layernorm.weight") for key in model.state_dict())


def test_other_precisions_keep_the_librarys() -> None:
    model = torch.nn.Sequential(Qwen3RMSNorm(4).to(torch.bfloat16), Qwen3RMSNorm(4))
    fuse_norms(model, ["Qwen3RMSNorm"])
    assert [type(module) for module in model] == [Qwen3RMSNorm, FusedRMSNorm]
