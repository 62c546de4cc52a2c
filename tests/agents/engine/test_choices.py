"""Tests of axpo_agents.engine._choices: logits made piece by piece score as whole ones do."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from axpo_agents import families
from axpo_agents.engine._choices import Choices, choice_logprobs
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import Truncation


def test_the_worked_case() -> None:
    """Two places; at the second, two tokens were chosen. Logits (0, 0) and (0, ln 3)."""
    hidden = torch.tensor([[0.0, 0.0], [0.0, float(np.log(3))]])
    choices = Choices(places=np.ones((1, 2), dtype=np.bool_), rows=np.array([0, 1, 1]), tokens=np.array([1, 0, 1]))
    logprobs = choice_logprobs(hidden, lambda part: part, choices, vocabulary=2)
    assert logprobs.exp().tolist() == pytest.approx([0.5, 0.25, 0.75])


@pytest.mark.parametrize("at_once", [1, 20, 30, 70, 10_000])
def test_pieces_of_any_size_score_and_train_as_the_whole(at_once: int) -> None:
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(4, 10)
    rows = np.array([0, 0, 1, 3, 3, 3, 6])
    tokens = np.array([1, 2, 3, 4, 5, 6, 7])
    choices = Choices(places=np.ones((1, 7), dtype=np.bool_), rows=rows, tokens=tokens, temperature=0.7)
    weights = torch.rand(7, generator=generator)

    def passed(limit: int) -> tuple[torch.Tensor, ...]:
        hidden = torch.linspace(-1, 1, 28).view(7, 4).requires_grad_()
        logprobs = choice_logprobs(hidden, head, choices, at_once=limit, vocabulary=10)
        return logprobs, *torch.autograd.grad((weights * logprobs).sum(), [hidden, *head.parameters()])

    for ours, whole in zip(passed(at_once), passed(10_000), strict=True):
        assert torch.allclose(ours, whole, atol=1e-6)


def test_no_more_logits_are_held_than_asked_for() -> None:
    made: list[int] = []

    def head(part: torch.Tensor) -> torch.Tensor:
        made.append(part.shape[0] * 10)
        return part.repeat(1, 10)

    choices = Choices(places=np.ones((1, 7), dtype=np.bool_), rows=np.arange(7), tokens=np.zeros(7, dtype=np.int64))
    choice_logprobs(torch.zeros(7, 1, requires_grad=True), head, choices, at_once=30, vocabulary=10)
    assert made == [30, 30, 10]


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen2_5_vl", "qwen3"])
def test_a_familys_own_forward_scores_the_same(
    family: Callable[[str], TransformersPolicy],
    kit: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """A model whose logits may be more than its output layer's has them made by its own forward."""
    policy = family(name)
    prompt = kit.given(kit.encode(policy, *(() if name == "qwen3" else (kit.image(0),)), "Which?"))
    sequences = [kit.grown(prompt, SimpleNamespace(ids=(40, 41, end), logprobs=(0.0,) * 3)) for end in (42, 43)]
    with torch.no_grad():
        ours = torch.cat(policy.logprobs(sequences))
        monkeypatch.setattr(families, "_FAMILIES", {})
        assert torch.allclose(ours, torch.cat(policy.logprobs(sequences)), atol=1e-6)


def test_a_token_that_truncation_would_leave_out_counts_as_kept() -> None:
    hidden = torch.tensor([[0.5, 0.3, 0.2]]).log().requires_grad_()
    choices = Choices(
        places=np.ones((1, 1), dtype=np.bool_),
        rows=np.array([0, 0, 0]),
        tokens=np.array([0, 1, 2]),
        truncation=Truncation(top_k=2),
    )
    logprobs = choice_logprobs(hidden, lambda part: part, choices, vocabulary=3)
    assert logprobs.exp().tolist() == pytest.approx([0.5 / 0.8, 0.3 / 0.8, 0.2 / 1.0])
    logprobs.sum().backward()
    assert hidden.grad is not None
    assert bool(torch.isfinite(hidden.grad).all())
