"""Defines `axpo plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field
from rich.console import Console

from axpo.commands.arguments import check_output, parse, path_option, write_json
from axpo.plan.cluster import Chances
from axpo.plan.machines import HERE, Machine, machine_here, machine_named
from axpo.plan.measuring import measure_costs
from axpo.plan.placement import Placement
from axpo.plan.planning import Plan, Subject, check_placement, make_plan
from axpo.plan.remembering import remember, remembered
from axpo.plan.shown import show_plan, show_simulation
from axpo.plan.whatif import Tried, cluster_of, what_helps
from axpo.plan.workload import Expected
from axpo.records._folder import CONFIG
from axpo.run._env_making import make_env
from axpo.settings._arguments import parse_env_args
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import checked, read_toml
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say
from axpo_envs.plumbing.extras import requiring

with requiring("train", "`axpo plan`"):
    import torch

_PAPERS = "a100-80gb"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanArguments:
    """Tell what a run will take before it begins: memory, tokens, time. `axpo plan CONFIG` takes a TOML file or a run.

    No weights are loaded. What does not fit is said, with the settings that would change it; every setting of
    `axpo train` may be given here as well, to try it.
    """

    config: Path | None = None
    """TOML file with settings, or a run's folder, also as the first argument; the options below override it."""
    gpus: Annotated[int, Field(ge=1)] = 1
    """Devices that learn, one process each; they sample as well, unless servers do."""
    sampler_gpus: Annotated[int, Field(ge=0)] = 0
    """Devices of the servers that sample (`sampler` names their addresses)."""
    machine: str | None = None
    """Kind of device: `here`, one of a table of data sheets (a100-80gb, h100-80gb, ...), or a .toml file like it.
    By default `here` for a CPU or where there is a CUDA device, else the paper's A100."""
    measure: bool = False
    """Measure what operations cost on this machine, at the model's shape with random weights, and keep it for later
    plans of such a run."""
    like: Path | None = None
    """A run whose episodes are alike: a short one of the same environment and model."""
    task: Expected = field(default_factory=Expected)
    """What is expected of episodes."""
    simulate: bool = False
    """Play steps on these devices event by event, with episodes of uneven length, and try what would help."""
    chances: Chances = field(default_factory=Chances)
    """What the simulation draws."""
    json: Path | None = None
    """Write the plan to this file."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """The run's settings."""


def run(arguments: Sequence[str]) -> int:
    """Plans; returns the exit code: 1 where the run does not fit."""
    given = _parsed(arguments)
    check_output(given.json)
    config = checked(given.settings)
    # What is asked of this command alone, under its own name.
    checked(replace(given, settings=TrainConfig(), task=Expected(), chances=Chances()))
    checked(given.task)
    checked(given.chances)
    placement = _placement(given, config)
    check_placement(config, placement)
    with Heartbeat(lambda line: say(f"axpo: {line}")) as heartbeat:
        heartbeat.doing("reading the model's shape and the first prompts")
        subject = Subject.of(config, given.task, like=given.like)
        costs = None
        if placement.machine.name == HERE:
            if given.measure:
                _measure(subject, heartbeat)
            costs = remembered(subject.config, subject.shape, subject.work)
        plan = make_plan(subject, placement, costs=costs)
        tried = _simulated(plan, given.chances, heartbeat) if given.simulate else ()
    show_plan(plan, Console())
    if tried:
        show_simulation(tried, Console())
    simulated = {"chances": asdict(given.chances), "tried": [asdict(one) for one in tried]}
    write_json(given.json, {**plan.as_record(), **({"simulation": simulated} if tried else {})})
    return 0 if plan.memory.fits else 1


def _simulated(plan: Plan, chances: Chances, heartbeat: Heartbeat) -> tuple[Tried, ...]:
    if plan.times is None:
        raise ConfigError("simulate: expected a machine whose speed is known; --measure measures this one")
    heartbeat.doing("simulating")
    return what_helps(cluster_of(plan), chances)


def _parsed(arguments: Sequence[str]) -> PlanArguments:
    arguments = list(arguments)
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--config", *arguments]
    path = path_option(arguments, "config")
    settings = TrainConfig()
    if path is not None:
        file = path / CONFIG if path.is_dir() else path
        settings = read_toml(file, TrainConfig)
    return parse(PlanArguments, "plan", arguments, default=PlanArguments(settings=settings))


def _placement(given: PlanArguments, config: TrainConfig) -> Placement:
    machine = _machine(given, config)
    if given.measure and machine.name != HERE:
        raise ConfigError(f"measure: expected --machine {HERE}, which is what can be measured; got {machine.name}")
    return Placement(
        learners=given.gpus,
        samplers=given.sampler_gpus,
        is_divided=given.gpus > 1 and config.ranks.strategy == "fsdp",
        on_cuda=config.policy.device.startswith("cuda"),
        machine=machine,
    )


def _machine(given: PlanArguments, config: TrainConfig) -> Machine:
    wanted = given.machine
    if wanted is None:
        at_hand = not config.policy.device.startswith("cuda") or torch.cuda.is_available()
        wanted = HERE if at_hand else _PAPERS
    return machine_here(config.policy.device) if wanted == HERE else machine_named(wanted)


def _measure(subject: Subject, heartbeat: Heartbeat) -> None:
    env = make_env(subject.config.env, parse_env_args(subject.config.env_args))
    costs = measure_costs(
        subject.config,
        subject.model,
        subject.work,
        env=env,
        progress=lambda what: heartbeat.doing(f"measuring {what}"),
    )
    path = remember(subject.config, subject.shape, subject.work, costs)
    say(f"axpo: what was measured is kept in {path}")
