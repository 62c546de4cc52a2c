"""Defines what vLLM is started with, here or in a worker of Ray, and how new weights reach what samples."""

from __future__ import annotations

from typing import Any

from axpo.settings._arguments import parse_env_args
from axpo.settings.config import TrainConfig


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
