"""Fixtures of plans: a small shape whose sizes can be counted by hand, and devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from axpo.plan.machines import Machine
from axpo.plan.placement import Placement
from axpo.plan.shape import ModelShape
from axpo.plan.workload import Workload

SHAPE = ModelShape(
    name="small",
    layers=2,
    hidden=8,
    intermediate=16,
    heads=2,
    key_heads=1,
    head_size=4,
    vocabulary=100,
    parameters=1000,
    active=900,
    layer_parameters=300,
    rank_parameters=10,
    plain_head=True,
    tower=None,
)
WORK = Workload(
    questions=4,
    group_size=2,
    prefixes=1.0,
    continuations=2,
    prompt_tokens=10.0,
    prompt_images=0.0,
    image_tokens=0.0,
    tool_rate=0.5,
    calls=2.0,
    turn_tokens=6.0,
    longest_turn=12.0,
    observation_tokens=3.0,
    observation_images=0.0,
    tool_seconds=0.25,
    tools_at_once=1.0,
    trained_share=1.0,
    longest_episode=1000,
)
MACHINE = Machine(
    name="toy",
    device="a toy",
    source="data sheet of a toy",
    memory_gb=1.0,
    tflops=1.0,
    bandwidth_gbs=10.0,
    link_gbs=1.0,
    network_gbs=0.1,
)


@pytest.fixture
def shape() -> ModelShape:
    return SHAPE


@pytest.fixture
def work() -> Workload:
    return WORK


@pytest.fixture
def alone() -> Placement:
    return Placement(learners=1, machine=MACHINE)


@pytest.fixture
def eight(alone: Placement) -> Placement:
    return replace(alone, learners=8, is_divided=True)
