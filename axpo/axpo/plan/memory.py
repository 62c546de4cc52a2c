"""Defines `memory_of`: what lies in a device's memory during a step, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag, auto
from typing import Final

from axpo.plan.activations import Passing, activation_parts
from axpo.plan.placement import Placement
from axpo.plan.shape import ModelShape
from axpo.plan.workload import Workload
from axpo.settings._arguments import parse_env_args
from axpo.settings._serving import LEARNER, VLLM
from axpo.settings.config import Algorithm, TrainConfig

_FLOAT: Final = 4
GIB: Final = 2**30
_CPU_CACHE: Final = GIB // 2
"""What the engine keeps of keys and values on a CPU; on a CUDA device it is a third of its memory."""
_GROWTH: Final = 64
"""Slots by which a full buffer of keys and values grows at least."""
_COPIED: Final = 1.25
"""What it takes more while rows are copied."""
_DRAWN: Final = 28
"""Bytes of a logit while a token is drawn: in float32, tempered, as log-probability, and summed up in float64."""
_VLLM_SHARE: Final = 0.9
"""What vLLM takes of a device where nothing is said."""
_BLOCK: Final = 256
"""Numbers that share a scale in 8-bit moments."""


class When(Flag):
    """In which parts of a step something is there."""

    SAMPLING = auto()
    """While turns are sampled."""
    BACKWARD = auto()
    """While gradients are computed."""
    STEP = auto()
    """While the optimizer changes weights."""
    ALWAYS = SAMPLING | BACKWARD | STEP
    """All of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something that lies in memory."""

    name: str
    """What it is."""
    bytes: float
    """How large it is on one device."""
    when: When = When.ALWAYS
    """When it is there."""
    on_host: bool = False
    """Whether it lies in the CPU's memory, with `ranks.cpu_offload`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The memory of one device of the learner's."""

    parts: tuple[Part, ...]
    """What lies in it."""
    usable: float
    """Bytes that tensors can have."""
    at_once: bool = False
    """Whether sampling and updating happen at the same time."""

    @property
    def peaks(self) -> dict[str, float]:
        """The most bytes by part of a step."""
        peaks = {phase.name or "": self.during(phase) for phase in (When.SAMPLING, When.BACKWARD, When.STEP)}
        if self.at_once:
            always = sum(part.bytes for part in self._here() if part.when is When.ALWAYS)
            sampling = peaks["SAMPLING"] - always
            peaks = {name: peak + (0 if name == "SAMPLING" else sampling) for name, peak in peaks.items()}
        return {name.lower(): peak for name, peak in peaks.items()}

    @property
    def peak(self) -> float:
        """The most bytes in a step."""
        return max(self.peaks.values())

    @property
    def fits(self) -> bool:
        """Whether that is there."""
        return self.peak <= self.usable

    @property
    def host(self) -> float:
        """Bytes in the CPU's memory, of one process."""
        return sum(part.bytes for part in self.parts if part.on_host)

    def during(self, phase: When) -> float:
        """Bytes in one part of a step."""
        return sum(part.bytes for part in self._here() if phase in part.when)

    def _here(self) -> Iterator[Part]:
        return (part for part in self.parts if not part.on_host)


def memory_of(config: TrainConfig, shape: ModelShape, work: Workload, placement: Placement) -> Memory:
    """What lies in the memory of one of the learner's devices."""
    sizes = _Sizes.of(config, shape, placement)
    passing = Passing.of(config, work, learners=placement.learners)
    parts = [
        *_weights(config, shape, placement, sizes),
        *_optimizer(config, placement, sizes, accumulates=passing.accumulates),
        *_sampling(config, shape, work, placement, sizes),
        *(
            Part(name=name, bytes=size, when=When.BACKWARD)
            for name, size in activation_parts(config, shape, passing, on_cuda=placement.on_cuda)
        ),
    ]
    asynchronous = config.sampler == LEARNER and config.max_staleness > 0
    return Memory(
        parts=tuple(part for part in parts if part.bytes > 0), usable=placement.usable_bytes, at_once=asynchronous
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """Bytes that several parts are made of."""

    item: int
    """Of a weight."""
    whole: float
    """Of all weights of the policy."""
    trained: float
    """How many numbers are trained."""
    adapters: float
    """Bytes of adapters."""
    divided: int
    """Processes that weights are divided among; 1 where each has them whole."""

    @classmethod
    def of(cls, config: TrainConfig, shape: ModelShape, placement: Placement) -> _Sizes:
        item = item_size(config)
        trained = trained_parameters(config, shape)
        # The library of adapters keeps them in float32 whatever the model computes in.
        adapters = _FLOAT * trained if config.policy.lora_rank else 0.0
        return cls(
            item=item,
            whole=item * shape.parameters,
            trained=trained,
            adapters=adapters,
            divided=placement.learners if placement.is_divided else 1,
        )


def item_size(config: TrainConfig) -> int:
    """Bytes of a weight."""
    return 2 if config.policy.dtype == "bfloat16" else _FLOAT


def trained_parameters(config: TrainConfig, shape: ModelShape) -> float:
    """How many numbers are trained."""
    if config.policy.lora_rank:
        return shape.rank_parameters * config.policy.lora_rank
    return shape.parameters - (shape.tower_parameters if config.policy.freeze_vision else 0)


def _weights(config: TrainConfig, shape: ModelShape, placement: Placement, sizes: _Sizes) -> Iterator[Part]:
    offload = config.ranks.cpu_offload and placement.is_divided
    yield Part(name="weights", bytes=sizes.whole / sizes.divided, on_host=offload)
    yield Part(name="LoRA adapters", bytes=sizes.adapters / sizes.divided, on_host=offload)
    if config.loss.kl > 0 and not config.policy.lora_rank:
        yield Part(name="reference policy", bytes=sizes.whole / sizes.divided, on_host=offload)
    if placement.is_divided:
        rest = shape.parameters - shape.layers * shape.layer_parameters
        # One layer is computed while the next is gathered; embeddings, head and tower stay until the pass is over.
        gathered = sizes.item * (rest + 2 * shape.layer_parameters) + _FLOAT * shape.layer_parameters
        yield Part(name="gathered layers (FSDP2)", bytes=gathered, when=When.BACKWARD)
        what = "samples" if config.sampler == LEARNER else "is handed over, on the first device"
        yield Part(name=f"gathered policy that {what} (FSDP2)", bytes=sizes.whole, when=When.SAMPLING)


def _optimizer(config: TrainConfig, placement: Placement, sizes: _Sizes, *, accumulates: bool) -> Iterator[Part]:
    offload = config.ranks.cpu_offload and placement.is_divided
    trained = sizes.trained / sizes.divided
    masters = sizes.item < _FLOAT and not config.policy.lora_rank
    item = _FLOAT if config.policy.lora_rank else sizes.item
    if masters:
        yield Part(name="float32 master weights", bytes=_FLOAT * trained, on_host=offload)
    moments = {
        Algorithm.ADAMW: 2 * _FLOAT,
        Algorithm.ADAMW_8BIT: 2 * (1 + _FLOAT / _BLOCK),
        Algorithm.ADAFACTOR: 0.01 * _FLOAT,
        Algorithm.SGD: _FLOAT if config.optim.betas[0] else 0,
    }
    states = moments[config.optim.algorithm] * trained
    yield Part(name=f"optimizer states ({config.optim.algorithm})", bytes=states, on_host=offload)
    if accumulates:
        # Those of a single pass come as its activations go.
        yield Part(name="gradients", bytes=item * trained, when=When.BACKWARD, on_host=offload)
    yield Part(name="gradients in float32", bytes=_FLOAT * trained, when=When.STEP, on_host=offload)
    if placement.learners > 1 and not placement.is_divided:
        yield Part(name="buckets of gradients (DDP)", bytes=item * trained, when=When.BACKWARD | When.STEP)
    if placement.on_cuda and not offload:
        yield Part(name="the optimizer's working memory", bytes=_FLOAT * trained, when=When.STEP)


def _sampling(
    config: TrainConfig, shape: ModelShape, work: Workload, placement: Placement, sizes: _Sizes
) -> Iterator[Part]:
    if config.sampler == VLLM:
        options = parse_env_args(config.serving.options, setting="serving.options")
        share = float(options.get("gpu_memory_utilization", _VLLM_SHARE))
        yield Part(name="vLLM (weights, keys and values)", bytes=share * placement.memory_bytes)
        return
    if config.sampler != LEARNER:
        return
    if config.max_staleness:
        item = sizes.adapters or sizes.item * sizes.trained
        yield Part(name="copies of the weights that sample ahead", bytes=sizes.whole + item, when=When.ALWAYS)
    cap = placement.memory_bytes / 3 if placement.on_cuda else _CPU_CACHE
    slot = slot_bytes(config, shape)
    kept = min(cap / 2, _slots(work) / placement.learners * slot)
    # What samples ahead goes on while the learner updates.
    when = When.ALWAYS if config.max_staleness else When.SAMPLING
    yield Part(name="keys and values (sampling)", bytes=min(cap, _COPIED * kept), when=when)
    at_a_time = min(work.episodes / placement.learners, max(1.0, cap / 2 / (work.sequence * slot)))
    yield Part(name="logits (sampling)", bytes=_DRAWN * at_a_time * shape.vocabulary, when=When.SAMPLING)


def _slots(work: Workload) -> float:
    """Slots of keys and values that a step's turns leave behind: each round has a buffer as wide as its longest row,
    with room to grow."""
    room = max(_GROWTH, work.longest_turn)
    longest = work.prompt + work.calls * work.observation + 2 * work.longest_turn
    first = work.episodes * (work.prompt + room)
    later = work.episodes * (work.turns - 1) + work.grown * work.grown_turns
    return first + later * (min(longest, work.longest_episode) + room)


def slot_bytes(config: TrainConfig, shape: ModelShape) -> int:
    """Bytes of a token's keys and values in all layers."""
    return 2 * shape.layers * shape.key_width * item_size(config)
