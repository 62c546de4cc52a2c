"""Defines `RunParts`, what a run is made of, and how it is put together for a start or a resumption."""

from __future__ import annotations

from dataclasses import dataclass

from axpo.algorithm.optimizer import Optimizer
from axpo.algorithm.replay import ReplayMemory
from axpo.algorithm.step import Training
from axpo.run._checkpoint import Checkpoint
from axpo.run._policy_loading import make_reference
from axpo.run.environments import Worlds
from axpo.settings.config import TrainConfig
from axpo_agents.transformers_policy import TransformersPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """What a run trains, and what it is measured on."""

    config: TrainConfig
    """Everything that decides the results."""
    worlds: Worlds
    """The environment, in training and held out."""
    policy: TransformersPolicy
    """What is trained."""
    training: Training
    """What its steps work on."""

    @classmethod
    def of(
        cls, config: TrainConfig, worlds: Worlds, policy: TransformersPolicy, checkpoint: Checkpoint | None = None
    ) -> RunParts:
        """Begins with a policy as it was loaded, or goes on with that of a checkpoint.

        Raises:
            CheckpointError: the optimizer's state, or what the run remembers, cannot be read.
            PolicyError: the model that the run began with cannot be loaded.
            ValueError: the optimizer's state does not fit the policy.
        """
        keeps_weights = config.policy.lora_rank > 0
        parameters = policy.trainable_parameters()
        optimizer = Optimizer(parameters, config.optim, steps=config.steps, keeps_weights=keeps_weights)
        if checkpoint is not None:
            optimizer.load_state(checkpoint.optimizer_state())
        training = Training(
            config=config,
            env=worlds.training,
            sampler=policy,
            learner=policy,
            reference=make_reference(config, policy, resumed=checkpoint is not None),
            optimizer=optimizer,
            memory=ReplayMemory() if checkpoint is None else checkpoint.memory(),
        )
        return cls(config=config, worlds=worlds, policy=policy, training=training)
