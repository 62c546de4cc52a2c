"""Defines how a run loads its policy, and the reference that it is kept close to."""

from __future__ import annotations

from dataclasses import asdict

from axpo.algorithm.seeds import derive_seed
from axpo.settings._arguments import parse_env_args
from axpo.settings.config import TrainConfig
from axpo.settings.model import ModelConfig
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy


def load_settings(config: ModelConfig, *, seed: int) -> LoadSettings:
    """How a policy is loaded; the seed is that of the run and decides the initial weights of LoRA adapters."""
    options = tuple(parse_env_args(config.template_options, setting="policy.template_options").items())
    return LoadSettings(**{**asdict(config), "template_options": options}, seed=derive_seed(seed, "weights"))


def make_reference(config: TrainConfig, policy: TransformersPolicy, *, resumed: bool) -> TransformersPolicy | None:
    """The policy as it was before the first step; None where no KL to it is asked for.

    Args:
        config: the run's settings.
        policy: what is trained; untouched as yet unless the run is resumed.
        resumed: the policy was loaded from a checkpoint of the run.

    Raises:
        PolicyError: the model that the run began with cannot be loaded.
    """
    if config.loss.kl == 0:
        return None
    if resumed and not config.policy.lora_rank:
        return load_policy(config.model, load_settings(config.policy, seed=config.seed))
    return policy.reference()
