from __future__ import annotations

from dataclasses import replace

import pytest

import axpo
from axpo.plan.costs import UnitCosts, from_data_sheet
from axpo.plan.placement import Placement
from axpo.plan.shape import ModelShape
from axpo.plan.times import times_of
from axpo.plan.workload import Workload
from axpo.settings.model import ModelConfig

CUDA = axpo.TrainConfig(
    policy=ModelConfig(device="cuda", dtype="bfloat16"),
    sampling=axpo.SamplingConfig(questions=4, group_size=2),
    optim=axpo.OptimConfig(minibatches=2, micro_batch_tokens=60),
)
COSTS = UnitCosts(
    source="made up",
    call_s=1.0,
    read_s=0.01,
    image_s=0.0,
    step_s=0.1,
    row_s=0.001,
    reference_pass_s=2.0,
    reference_s=0.1,
    train_pass_s=5.0,
    train_s=0.3,
    train_image_s=0.0,
    optimizer_s=7.0,
    weights_s=0.5,
    question_s=0.25,
)


def test_phases_by_hand(work: Workload, alone: Placement) -> None:
    times = times_of(CUDA, work, COSTS, alone)
    # 202 tokens in 2 mini-batches of 101: passes of 60 at most, so two each.
    assert work.tree_tokens == 202
    assert times.passes == 4
    assert times.phases["update"] == pytest.approx(5.0 * 4 + 0.3 * 202 + 7.0 * 2)
    assert times.phases["reference"] == pytest.approx(2.0 * 4 + 0.1 * 202)
    assert times.phases["drift"] == 0.0
    assert times.phases["questions"] == pytest.approx(1.0)
    assert times.phases["tools"] == pytest.approx(0.25 * 12)
    # Three rounds of the longest turn; 96 tokens in batches that shrink late; four prompts and eight results are read.
    assert times.phases["sampling"] == pytest.approx(3 * 1.0 + 0.1 * 36 + 0.001 * 96 * 1.3 + 0.01 * (40 + 24))
    assert times.step == pytest.approx(sum(times.phases.values()))


def test_asynchronous_steps_are_as_long_as_the_longer_of_both(work: Workload, alone: Placement) -> None:
    times = times_of(replace(CUDA, max_staleness=1), work, COSTS, alone)
    assert times.phases["drift"] == times.phases["reference"]
    assert times.step == pytest.approx(max(times.sampling, times.learning + 0.5))


def test_a_data_sheet_counts_operations_and_bytes(shape: ModelShape, work: Workload, alone: Placement) -> None:
    costs = from_data_sheet(CUDA, shape, work, alone)
    seen = work.prompt + work.response / 2
    forward = 2 * 900 + 2 * 2 * 8 * seen
    assert costs.train_s == pytest.approx(3 * forward / (1e12 * 0.35))
    assert costs.reference_s == pytest.approx(forward / (1e12 * 0.45))
    assert costs.step_s == pytest.approx(2 * 250e-6 + 2 * 900 / (10e9 * 0.6))
    recomputed = replace(CUDA, policy=replace(CUDA.policy, gradient_checkpointing=True))
    assert from_data_sheet(recomputed, shape, work, alone).train_s == pytest.approx(4 / 3 * costs.train_s)


def test_processes_share_the_work_and_pay_for_what_they_exchange(
    shape: ModelShape, work: Workload, alone: Placement, eight: Placement
) -> None:
    one, all_eight = (from_data_sheet(CUDA, shape, work, placement) for placement in (alone, eight))
    assert one.train_pass_s == 0.0
    # All weights twice, gradients once in float32; half of it behind computation, seven eighths from others.
    assert all_eight.train_pass_s == pytest.approx((2 * 2000 + 4000) * 7 / 8 * 0.5 / (1e9 * 0.7))
    two_nodes = replace(eight, learners=16)
    assert from_data_sheet(CUDA, shape, work, two_nodes).train_pass_s > 10 * all_eight.train_pass_s
