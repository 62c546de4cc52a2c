"""Defines what samples elsewhere is given: options of vLLM, what prompts are made with, how new weights reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axpo.settings._arguments import parse_env_args
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.model import ModelConfig

if TYPE_CHECKING:
    from axpo_agents.remote import PromptSettings


def weight_form(config: TrainConfig) -> str:
    """How new weights reach what samples: `serving.weights`, decided where that was left open."""
    if config.serving.weights != "auto":
        return config.serving.weights
    return "lora" if config.policy.lora_rank else "reload"


_RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Largest ranks of adapters that vLLM can be told to make room for (`vllm.config.lora.MaxLoRARanks`)."""


def engine_options(config: TrainConfig) -> dict[str, Any]:
    """Options of `vllm.LLM`: those that follow from the run's settings, and above them `serving.options`.

    Raises:
        ConfigError: `serving.options` are not of the form NAME=VALUE, or make no room for the adapters.
    """
    given = parse_env_args(config.serving.options, setting="serving.options")
    options: dict[str, Any] = {
        "dtype": config.policy.dtype,
        "max_model_len": config.sampling.max_episode_tokens,
    }
    if weight_form(config) == "lora":
        options |= {"enable_lora": True, "max_lora_rank": _room(config.policy.lora_rank)}
    options |= given
    room = options.get("max_lora_rank")
    if weight_form(config) == "lora" and isinstance(room, int) and room < config.policy.lora_rank:
        raise ConfigError(
            f"serving.options: expected max_lora_rank of at least policy.lora_rank, {config.policy.lora_rank}; "
            f"got {room}"
        )
    return options


def _room(rank: int) -> int:
    """The least that vLLM can be told, for adapters of a rank.

    Raises:
        ConfigError: they have no room in it.
    """
    if rank > _RANKS[-1]:
        raise ConfigError(f"policy.lora_rank: expected at most {_RANKS[-1]}, which vLLM takes; got {rank}")
    return next(room for room in _RANKS if room >= rank)


def prompt_settings(policy: ModelConfig) -> PromptSettings:
    """What makes prompts elsewhere those of the learner.

    Raises:
        ConfigError: `policy.template_options` are not of the form NAME=VALUE.
    """
    from axpo_agents.remote import PromptSettings

    options = parse_env_args(policy.template_options, setting="policy.template_options")
    return PromptSettings(template_options=tuple(options.items()), tell_images=policy.tell_images)
