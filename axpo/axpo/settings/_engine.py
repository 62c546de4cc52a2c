"""Defines what samples elsewhere is given: options of vLLM, what prompts are made with, how new weights reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axpo.settings._arguments import parse_env_args
from axpo.settings.config import TrainConfig
from axpo.settings.model import ModelConfig

if TYPE_CHECKING:
    from axpo_agents.remote import PromptSettings


def weight_form(config: TrainConfig) -> str:
    """How new weights reach what samples: `serving.weights`, decided where that was left open."""
    if config.serving.weights != "auto":
        return config.serving.weights
    return "lora" if config.policy.lora_rank else "reload"


def engine_options(config: TrainConfig) -> dict[str, Any]:
    """Options of `vllm.LLM`: those that follow from the run's settings, and above them `serving.options`.

    Raises:
        ConfigError: `serving.options` are not of the form NAME=VALUE.
    """
    given = parse_env_args(config.serving.options, setting="serving.options")
    options: dict[str, Any] = {
        "dtype": config.policy.dtype,
        "max_model_len": config.sampling.max_episode_tokens,
    }
    if weight_form(config) == "lora":
        options |= {"enable_lora": True, "max_lora_rank": config.policy.lora_rank}
    return options | given


def prompt_settings(policy: ModelConfig) -> PromptSettings:
    """What makes prompts elsewhere those of the learner.

    Raises:
        ConfigError: `policy.template_options` are not of the form NAME=VALUE.
    """
    from axpo_agents.remote import PromptSettings

    options = parse_env_args(policy.template_options, setting="policy.template_options")
    return PromptSettings(template_options=tuple(options.items()), tell_images=policy.tell_images)
