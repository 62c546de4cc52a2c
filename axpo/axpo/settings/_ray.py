"""Defines the settings of a run on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from axpo.settings.values import Count, CountOrNone, Name, NonNegative, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersConfig:
    """Workers of one kind, and what each of them takes of the cluster."""

    workers: CountOrNone = 2
    """How many; 0 leaves their work to the trainer's own process."""
    num_cpus: NonNegative = 1.0
    """CPUs of each, which Ray keeps for it."""
    num_gpus: NonNegative = 0.0
    """GPUs of each."""
    resources: tuple[str, ...] = ()
    """Further resources of each as NAME=AMOUNT, such as `browsers=1` for nodes that were started with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayConfig:
    """A Ray cluster that takes turns of the environment, and samples; of no effect without an address."""

    address: Annotated[Name | None, tyro.conf.arg(aliases=("--ray",))] = None
    """`local` starts a cluster of this machine for the run, `auto` takes the one that this machine is part of, and
    HOST:PORT or ray://HOST:PORT another. None uses none."""
    rollouts: WorkersConfig = field(default_factory=lambda: WorkersConfig(workers=1))
    """Workers that sample, each with a copy of the policy whose weights follow the learner's: on CUDA where they take
    GPUs, else on the CPU. With the sampler `vllm` each is an engine of vLLM."""
    environments: WorkersConfig = field(default_factory=WorkersConfig)
    """Workers that take turns of the environment: tools and rewards."""
    calls: Count = 8
    """Turns that a worker of the environment takes at a time."""
    lockstep: bool = True
    """All running episodes take their turns together, as without Ray, so that a run repeats bit for bit. Off: each goes
    on as soon as its tools have answered, and a worker samples whatever waits for it."""
    attempts: Count = 5
    """How often turns are asked for, of workers that were lost meanwhile, before it is an infrastructure fault."""
    start_s: Seconds = 300.0
    """Seconds in which all workers must have started."""
    timeout_s: Seconds = 1800.0
    """Seconds after which a worker that does not answer is given up."""
