"""Defines `changes_that_help`: settings that would make a run fit into memory, each tried in a plan of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from axpo.plan.memory import memory_of
from axpo.plan.placement import Placement
from axpo.plan.shape import ModelShape
from axpo.plan.workload import Workload
from axpo.settings._serving import LEARNER
from axpo.settings.config import Algorithm, TrainConfig

_LORA_RANK: Final = 32
_SMALLEST_PASS: Final = 2048
_MOST_DEVICES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Settings that were changed, one after the other."""

    settings: tuple[str, ...]
    """The options that do it."""
    peak: float
    """The most bytes in a step, with all of them."""
    fits: bool
    """Whether that is there."""


class _Option(NamedTuple):
    """A setting that could be changed."""

    text: str
    """The option that does it."""
    config: TrainConfig
    """The configuration with it."""
    placement: Placement
    """The devices with it."""
    costs_nothing: bool = True
    """Whether the same is computed, on the same devices."""


def changes_that_help(
    config: TrainConfig, shape: ModelShape, work: Workload, placement: Placement
) -> tuple[Change, ...]:
    """Single changes that lower the peak: those that are enough in the order of how little else they change, then the
    others, the best first; and several together, where no single one is enough that changes nothing else.

    Returns:
        Changes of one setting each, and at last one of several where that is needed; even that may not fit.
    """
    peak = memory_of(config, shape, work, placement).peak
    single, is_enough = [], False
    for option in _options(config, placement):
        memory = memory_of(option.config, shape, work, option.placement)
        if memory.peak < 0.99 * peak:
            single.append(Change(settings=(option.text,), peak=memory.peak, fits=memory.fits))
            is_enough |= memory.fits and option.costs_nothing
    single.sort(key=lambda change: change.peak if not change.fits else 0.0)
    if is_enough:
        return tuple(single)
    together = _together(config, shape, work, placement, costs_nothing=True)
    if not together.fits and not any(change.fits for change in single):
        together = _together(config, shape, work, placement, costs_nothing=False)
    return (*single, together) if len(together.settings) > 1 else tuple(single)


def _together(
    config: TrainConfig, shape: ModelShape, work: Workload, placement: Placement, *, costs_nothing: bool
) -> Change:
    """The best change, and the best one beside it, until it fits or nothing helps."""
    settings: list[str] = []
    memory = memory_of(config, shape, work, placement)
    while not memory.fits:
        tried = [
            (memory_of(option.config, shape, work, option.placement), option)
            for option in _options(config, placement)
            if option.costs_nothing or not costs_nothing
        ]
        best = min(tried, key=lambda one: one[0].peak, default=None)
        if best is None or best[0].peak >= 0.999 * memory.peak:
            break
        memory, option = best
        config, placement = option.config, option.placement
        settings.append(option.text)
    return Change(settings=tuple(settings), peak=memory.peak, fits=memory.fits)


def _options(config: TrainConfig, placement: Placement) -> Iterator[_Option]:
    """What can be changed: first what changes nothing but memory and time."""
    policy, optim, ranks = config.policy, config.optim, config.ranks
    if not policy.gradient_checkpointing:
        changed = replace(config, policy=replace(policy, gradient_checkpointing=True))
        yield _Option("--policy.gradient-checkpointing", changed, placement)
    if optim.micro_batch_tokens > _SMALLEST_PASS:
        half = max(_SMALLEST_PASS, optim.micro_batch_tokens // 2)
        changed = replace(config, optim=replace(optim, micro_batch_tokens=half))
        yield _Option(f"--optim.micro-batch-tokens {half}", changed, placement)
    divided = replace(config, ranks=replace(ranks, strategy="fsdp"))
    if placement.learners > 1 and not placement.is_divided:
        yield _Option("--ranks.strategy fsdp", divided, replace(placement, is_divided=True))
    if placement.is_divided and not ranks.cpu_offload:
        yield _Option("--ranks.cpu-offload", replace(config, ranks=replace(ranks, cpu_offload=True)), placement)
    shareable = placement.samplers or (config.sampler == LEARNER and not config.max_staleness)
    if placement.learners < _MOST_DEVICES and shareable:
        more = replace(placement, learners=2 * placement.learners, is_divided=True)
        yield _Option(f"--gpus {more.learners} --ranks.strategy fsdp", divided, more, costs_nothing=False)
    yield from _that_change_results(config, placement)


def _that_change_results(config: TrainConfig, placement: Placement) -> Iterator[_Option]:
    policy, optim = config.policy, config.optim
    if optim.algorithm is Algorithm.ADAMW:
        changed = replace(config, optim=replace(optim, algorithm=Algorithm.ADAMW_8BIT))
        yield _Option("--optim.algorithm adamw_8bit", changed, placement, costs_nothing=False)
    if policy.dtype == "float32":
        changed = replace(config, policy=replace(policy, dtype="bfloat16"))
        yield _Option("--policy.dtype bfloat16", changed, placement, costs_nothing=False)
    if not policy.lora_rank:
        changed = replace(config, policy=replace(policy, lora_rank=_LORA_RANK))
        yield _Option(f"--policy.lora-rank {_LORA_RANK}", changed, placement, costs_nothing=False)
