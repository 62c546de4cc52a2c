"""Defines `UnitCosts`, a small linear model of what the operations of a step cost, and `from_data_sheet`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final

from axpo.plan.memory import item_size, slot_bytes, trained_parameters
from axpo.plan.placement import Placement
from axpo.plan.shape import ModelShape
from axpo.plan.workload import Workload
from axpo.settings._serving import LEARNER
from axpo.settings.config import Algorithm, TrainConfig

_HOST_BANDWIDTH: Final = 50e9
"""Bytes per second at which one process reads the CPU's memory; assumed."""
_HOST_LINK: Final = 20e9
"""Bytes per second between a device and the CPU's memory; assumed."""
_DISK: Final = 1.5e9
"""Bytes per second at which a checkpoint is written, and read by servers; assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCosts:
    """Seconds of the operations of a step, on one device."""

    source: str
    """Where the numbers come from."""
    call_s: float = 0.0
    """Of a call that samples turns, before the first token."""
    read_s: float
    """Of a context token that is read."""
    image_s: float
    """Of an image that is read, without gradient."""
    step_s: float
    """Of the next token of a batch of turns, whatever its size."""
    row_s: float
    """Of that token, for each turn of the batch."""
    reference_pass_s: float = 0.0
    """Of a pass without gradient, whatever its size."""
    reference_s: float
    """Of a token in such a pass."""
    train_pass_s: float = 0.0
    """Of a forward and a backward pass, whatever its size."""
    train_s: float
    """Of a token in such passes."""
    train_image_s: float
    """Of an image in such passes, where its tower is trained."""
    optimizer_s: float
    """Of an optimizer step."""
    weights_s: float
    """Of handing new weights to what samples."""
    question_s: float = 0.0
    """Of drawing a question and encoding its prompt."""

    def as_record(self) -> dict[str, float | str]:
        """By name."""
        return asdict(self)


def from_data_sheet(config: TrainConfig, shape: ModelShape, work: Workload, placement: Placement) -> UnitCosts:
    """Costs from the peaks of a device and the shares of them that are assumed to be reached.

    A token of a forward pass takes 2 operations per weight that it passes through and 4 per layer, query width and
    token that it sees (half of them with a causal mask); a backward pass takes twice as many, recomputing once more.
    Sampling a token reads all weights once per batch, and each turn's keys and values.
    """
    machine = placement.machine
    seen = work.prompt + work.response / 2
    forward = 2.0 * shape.active + 2.0 * shape.layers * shape.attention_width * seen
    train = forward * (4 if config.policy.gradient_checkpointing else 3)
    if config.policy.lora_rank:
        # No gradient of the frozen weights.
        train -= 2.0 * shape.active
    if machine.tflops is None:
        raise ValueError(f"expected the peak of {machine.device}; it is not known")
    peak = machine.tflops * 1e12
    tower = _tower_operations(shape, work)
    tower_trained = not (config.policy.freeze_vision or config.policy.lora_rank)
    bandwidth = machine.bandwidth_gbs * 1e9 * machine.bandwidth_share
    held = slot_bytes(config, shape) * seen
    item = item_size(config)
    launches = shape.layers * machine.launch_us * 1e-6 if config.sampler == LEARNER else 0.0
    costs = UnitCosts(
        source=machine.source,
        read_s=forward / (peak * machine.reading_share),
        image_s=tower / (peak * machine.reading_share),
        step_s=launches + item * shape.active / bandwidth,
        row_s=held / bandwidth + 2.0 * shape.active / (peak * machine.reading_share),
        reference_s=forward / (peak * machine.reading_share),
        train_s=train / (peak * machine.training_share),
        train_image_s=(3.0 if tower_trained else 1.0) * tower / (peak * machine.training_share),
        optimizer_s=_optimizer_seconds(config, shape, placement),
        weights_s=_weights_seconds(config, shape, placement),
    )
    return _with_collectives(costs, config, shape, placement)


def _tower_operations(shape: ModelShape, work: Workload) -> float:
    if shape.tower is None:
        return 0.0
    patches = work.image_tokens * shape.tower.patches_per_token
    attention = 4.0 * shape.tower.layers * shape.tower.hidden * patches
    return patches * (2.0 * shape.tower.parameters + attention)


def _optimizer_seconds(config: TrainConfig, shape: ModelShape, placement: Placement) -> float:
    """Weights, gradients and moments are read and written once."""
    divided = placement.learners if placement.is_divided else 1
    trained = trained_parameters(config, shape) / divided
    moved = 16 if config.optim.algorithm is Algorithm.ADAMW_8BIT else 32
    if config.ranks.cpu_offload and placement.is_divided:
        # By way of the host: gradients there, weights back, and the CPU's own memory in between.
        return trained * (moved / _HOST_BANDWIDTH + 8 / _HOST_LINK)
    return trained * moved / (placement.machine.bandwidth_gbs * 1e9)


def _weights_seconds(config: TrainConfig, shape: ModelShape, placement: Placement) -> float:
    """How long new weights take to reach what samples."""
    size = item_size(config) * shape.parameters
    if config.sampler != LEARNER:
        written = 4.0 * trained_parameters(config, shape) if config.policy.lora_rank else size
        return 2 * written / _DISK
    if placement.is_divided:
        return size / placement.link
    return 2 * size / (placement.machine.bandwidth_gbs * 1e9) if config.max_staleness else 0.0


def _with_collectives(costs: UnitCosts, config: TrainConfig, shape: ModelShape, placement: Placement) -> UnitCosts:
    """What processes exchange in every pass: weights twice under FSDP2 (once without gradient) and their gradients."""
    if placement.learners == 1:
        return costs
    share = (placement.learners - 1) / placement.learners * (1 - placement.machine.hidden_share) / placement.link
    weights = item_size(config) * shape.parameters
    gradients = trained_parameters(config, shape)
    if placement.is_divided:
        return replace(
            costs,
            reference_pass_s=weights * share,
            train_pass_s=(2 * weights + 4 * gradients) * share,
        )
    return replace(costs, optimizer_s=costs.optimizer_s + 2 * item_size(config) * gradients * share)
