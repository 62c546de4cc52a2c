"""Defines `RunParts`, what a run is made of, and how it is put together of what was loaded, `Loaded`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from axpo.algorithm.buffer import BufferSettings, GroupBuffer
from axpo.algorithm.replay import ReplayMemory
from axpo.algorithm.step import SampledStep, Training
from axpo.distributed.placing import Placed, make_optimizer, placed
from axpo.distributed.ranks import ALONE, Ranks
from axpo.distributed.relaying import RelayedBuffer, RelayedSampler
from axpo.run._checkpoint import Checkpoint
from axpo.run._sampling_ahead import read_ahead
from axpo.run.environments import Worlds
from axpo.run.policy_loading import make_reference
from axpo.settings._serving import samples_elsewhere
from axpo.settings.config import TrainConfig
from axpo_agents.policy import Sampler
from axpo_agents.transformers_policy import TransformersPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a run is put together from."""

    config: TrainConfig
    """The run's settings."""
    worlds: Worlds
    """Its environment."""
    policy: TransformersPolicy
    """What learns."""
    sampler: Sampler | None = None
    """What samples; None for the policy itself, and where others sample, but for another process."""
    ranks: Ranks = ALONE
    """The processes of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """What a run trains, and what it is measured on."""

    config: TrainConfig
    """Everything that decides the results."""
    worlds: Worlds
    """The environment, in training and held out."""
    policy: TransformersPolicy
    """What is trained, whole. Where several processes divide its weights, they are there once `assemble` was called,
    until the next update."""
    assemble: Callable[[], None]
    """Gathers the weights of `policy`; all processes must call it."""
    training: Training
    """What its steps work on."""
    evaluated: Sampler
    """What evaluations ask, with the learner's weights of then."""
    ranks: Ranks
    """The processes of the run."""
    ahead: tuple[SampledStep, ...] = ()
    """Steps that were sampled before the run was broken off; their groups lie in the buffer."""
    note: str = ""
    """What a person should know of how it goes on."""

    @classmethod
    def of(cls, given: Loaded, checkpoint: Checkpoint | None = None) -> RunParts:
        """Begins with a policy as it was loaded, or goes on with that of a checkpoint.

        Args:
            given: what was loaded.
            checkpoint: where the policy was loaded from.

        Raises:
            CheckpointError: the optimizer's state, or what the run remembers, cannot be read.
            PolicyError: the model that the run began with cannot be loaded.
            ValueError: the optimizer's state does not fit the policy.
        """
        config, policy, ranks = given.config, given.policy, given.ranks
        buffer, ahead, note = _sampled_ahead(config, checkpoint if ranks.is_first else None)
        if checkpoint is not None:
            policy.advance_version(checkpoint.progress.step)
        reference = make_reference(here(config, ranks), policy, resumed=checkpoint is not None)
        roles = placed(config, policy, reference, ranks)
        optimizer = make_optimizer(config, roles.learner.trainable_parameters(), ranks)
        if checkpoint is not None:
            optimizer.load_state(checkpoint.optimizer_state())
        training = Training(
            config=config,
            env=given.worlds.training,
            sampler=_sampler(given, roles),
            learner=roles.learner,
            reference=roles.reference,
            optimizer=optimizer,
            memory=ReplayMemory() if checkpoint is None else checkpoint.memory(),
            buffer=RelayedBuffer(buffer, ranks) if ranks.count > 1 and config.max_staleness else buffer,
            sharing=roles.sharing,
        )
        return cls(
            config=config,
            worlds=given.worlds,
            policy=roles.whole,
            assemble=roles.assemble,
            training=training,
            # What samples ahead in this process takes one call at a time.
            evaluated=roles.sampler if config.max_staleness and not samples_elsewhere(config) else training.sampler,
            ranks=ranks,
            ahead=ahead,
            note=note,
        )


def _sampler(given: Loaded, roles: Placed) -> Sampler:
    """What samples; where several processes train, all are told what the first has others sample."""
    if given.ranks.count == 1:
        return given.sampler or roles.sampler
    if samples_elsewhere(given.config):
        return RelayedSampler(given.sampler, roles.whole, given.ranks, roles.assemble)
    return roles.sampler


def _sampled_ahead(
    config: TrainConfig, checkpoint: Checkpoint | None
) -> tuple[GroupBuffer, tuple[SampledStep, ...], str]:
    """The buffer of a run, with what its checkpoint holds of later steps, and what is to be said of it."""
    settings = BufferSettings(max_staleness=config.max_staleness or None)
    data = None if checkpoint is None else checkpoint.sampled_ahead()
    if data is None or not config.max_staleness:
        return GroupBuffer(settings), (), ""
    try:
        return *read_ahead(data, settings), ""
    except ValueError as error:
        return GroupBuffer(settings), (), f"what was sampled ahead cannot be read, and is sampled anew: {error}"


def here(config: TrainConfig, ranks: Ranks) -> TrainConfig:
    """The configuration with the device of this process."""
    return config if ranks.device is None else replace(config, policy=replace(config.policy, device=ranks.device))
