"""Defines `make_plan`: what a run will take, before any of it is done and without its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from axpo.plan.advice import Change, changes_that_help
from axpo.plan.costs import UnitCosts, from_data_sheet
from axpo.plan.expecting import workload_of
from axpo.plan.memory import Memory, memory_of
from axpo.plan.placement import Placement
from axpo.plan.shape import ModelShape
from axpo.plan.times import Times, times_of
from axpo.plan.workload import Expected, Workload
from axpo.run._samplers import addresses, check_sharing, check_weight_form
from axpo.run.validation import resolved
from axpo.settings._serving import LEARNER, VLLM, ServingConfig
from axpo.settings.config import Algorithm, ConfigError, TrainConfig
from axpo_agents.errors import PolicyError
from axpo_agents.transformers_policy.shapes import KnownModel, known_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will take."""

    config: TrainConfig
    """Its settings."""
    shape: ModelShape
    """Its model's sizes."""
    placement: Placement
    """Its devices."""
    work: Workload
    """What a step does."""
    costs: UnitCosts | None
    """What the operations of a step cost; None where nothing is known of the machine's speed."""
    memory: Memory
    """What lies in the memory of one of the learner's devices."""
    times: Times | None
    """Seconds of a step; None without costs."""
    changes: tuple[Change, ...]
    """What would make it fit where it does not."""

    @property
    def seconds(self) -> float | None:
        """Of all steps, without evaluations and checkpoints."""
        return None if self.times is None else self.times.step * self.config.steps

    def as_record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "model": asdict(self.shape),
            "devices": {
                "machine": self.placement.machine.name,
                "learners": self.placement.learners,
                "samplers": self.placement.samplers,
                "strategy": "fsdp" if self.placement.is_divided else "ddp" if self.placement.learners > 1 else "one",
            },
            "assumptions": {**self.placement.machine.assumptions, "of_episodes": dict(self.work.sources)},
            "costs": None if self.costs is None else self.costs.as_record(),
            "memory": {
                "parts": [
                    {
                        "name": part.name,
                        "bytes": part.bytes,
                        "when": str(part.when.name).lower(),
                        "on_host": part.on_host,
                    }
                    for part in self.memory.parts
                ],
                "peaks": self.memory.peaks,
                "usable": self.memory.usable,
                "fits": self.memory.fits,
            },
            "tokens": self.work.as_record(),
            "seconds": (
                None if self.times is None else {**self.times.phases, "step": self.times.step, "run": self.seconds}
            ),
            "steps": self.config.steps,
            "changes": [asdict(change) for change in self.changes],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a plan is made for."""

    config: TrainConfig
    """The run's settings, checked."""
    model: KnownModel
    """Its model."""
    shape: ModelShape
    """The model's sizes."""
    work: Workload
    """What a step does."""

    @classmethod
    def of(cls, config: TrainConfig, expected: Expected, *, like: Path | None = None) -> Subject:
        """Checks a configuration as `axpo train` does, but for what only the machine that runs it must have.

        Raises:
            ConfigError: a setting is unusable, or the model is unknown.
        """
        checked = usable(config)
        try:
            model = known_model(checked.model)
        except PolicyError as error:
            raise ConfigError(f"model: {error}") from error
        shape = ModelShape.of(model)
        return cls(config=checked, model=model, shape=shape, work=workload_of(checked, model, expected, like=like))


def usable(config: TrainConfig) -> TrainConfig:
    """A configuration as `axpo train` would settle it on a machine that has its devices, vLLM and optional packages.

    Raises:
        ConfigError: a setting is unusable anywhere.
    """
    urls = addresses(config.sampler)
    check_weight_form(config)
    eight_bit = config.optim.algorithm is Algorithm.ADAMW_8BIT
    here = replace(
        config,
        policy=replace(config.policy, device="cpu"),
        sampler=LEARNER,
        serving=ServingConfig(),
        max_staleness=config.max_staleness or int(bool(urls) or config.sampler == VLLM),
        optim=replace(config.optim, algorithm=Algorithm.ADAMW) if eight_bit else config.optim,
    )
    settled = resolved(here)
    return replace(
        settled,
        policy=replace(settled.policy, device=config.policy.device),
        sampler=config.sampler,
        serving=config.serving,
        max_staleness=config.max_staleness,
        optim=replace(settled.optim, algorithm=config.optim.algorithm),
    )


def check_placement(config: TrainConfig, placement: Placement) -> None:
    """Checks that a configuration can run on so many devices.

    Raises:
        ConfigError: it cannot; the message says what can.
    """
    served = bool(addresses(config.sampler))
    if placement.learners > 1:
        check_sharing(config, learners=placement.learners)
    if served and not placement.samplers:
        raise ConfigError("sampler_gpus: expected the devices of the servers that sample; got 0")
    if placement.samplers and not served:
        raise ConfigError(
            f"sampler_gpus: expected 0 where no server samples (sampler {config.sampler}); got {placement.samplers}"
        )
    if config.ranks.cpu_offload and config.ranks.strategy != "fsdp":
        raise ConfigError(f"ranks.cpu_offload: expected ranks.strategy fsdp beside it; got {config.ranks.strategy}")
    if placement.is_divided and config.optim.algorithm is Algorithm.ADAFACTOR:
        raise ConfigError("optim.algorithm: expected adamw or sgd with ranks.strategy fsdp; got adafactor")


def make_plan(subject: Subject, placement: Placement, *, costs: UnitCosts | None = None) -> Plan:
    """What a run will take.

    Args:
        subject: the run.
        placement: its devices.
        costs: what operations cost; None takes the machine's data sheet, if it has one.

    Raises:
        ConfigError: the configuration cannot run on these devices.
    """
    config, shape, work = subject.config, subject.shape, subject.work
    check_placement(config, placement)
    if costs is None and placement.machine.tflops is not None:
        costs = from_data_sheet(config, shape, work, placement)
    memory = memory_of(config, shape, work, placement)
    return Plan(
        config=config,
        shape=shape,
        placement=placement,
        work=work,
        costs=costs,
        memory=memory,
        times=None if costs is None else times_of(config, work, costs, placement),
        changes=() if memory.fits else changes_that_help(config, shape, work, placement),
    )
