from __future__ import annotations

from dataclasses import replace

import torch

from axpo_agents.transformers_policy import load_policy
from axpo_benchmarks.speed.rows import Ratio
from axpo_benchmarks.speed.tool_step import STEP, ToolStep, measure

SMALL = replace(
    STEP,
    sampling=replace(STEP.sampling, questions=2, group_size=4),
    selection=replace(STEP.selection, budget=0.5, continuations=2),
)


def test_a_step_is_measured_in_both_forms() -> None:
    rows = measure(SMALL, repeats=1)
    assert [row.name for row in rows if isinstance(row, Ratio)] == [
        "tool-using step, plain / ours",
        "its rollouts, plain / ours",
        "its training, plain / ours",
    ]
    shares = [row for row in rows if row.name.startswith("share of rollouts")]
    assert len(shares) == 2


def test_a_step_trains_and_can_be_taken_back() -> None:
    policy = load_policy("tiny")
    step = ToolStep(policy, policy, SMALL)
    before = [parameter.detach().clone() for parameter in policy.trainable_parameters()]
    step()
    step()
    assert len(step.rollout_seconds) == len(step.training_seconds) == 2
    assert policy.version == 2
    assert not all(map(torch.equal, before, policy.trainable_parameters()))
    step.restore()
    assert all(map(torch.equal, before, policy.trainable_parameters()))
