"""Defines `remembered` and `remember`: the costs that were measured on this machine, kept for later plans."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch

from axpo.plan.costs import UnitCosts
from axpo.plan.shape import ModelShape
from axpo.plan.workload import Workload
from axpo.settings.config import ConfigError, TrainConfig
from axpo_envs.plumbing.cache_folder import cache_folder
from axpo_envs.plumbing.whole_files import write_whole

_EPISODES: Final = (
    *("group_size", "prompt_tokens", "prompt_images", "image_tokens", "turn_tokens", "calls"),
    *("observation_tokens", "observation_images"),
)
"""What of the workload the measured sequences are made by."""


def costs_file() -> Path:
    """Where costs are kept: `axpo/plan/costs.json` within `$XDG_CACHE_HOME`, or within `~/.cache`."""
    return cache_folder("plan") / "costs.json"


def remembered(config: TrainConfig, shape: ModelShape, work: Workload) -> UnitCosts | None:
    """What was measured on this machine for such a configuration; None where nothing was.

    Raises:
        ConfigError: the file that holds it cannot be read.
    """
    found = _held().get(_key(config, shape, work))
    return None if found is None else UnitCosts(**found)


def remember(config: TrainConfig, shape: ModelShape, work: Workload, costs: UnitCosts) -> Path:
    """Keeps what was measured; returns where."""
    path = costs_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {**_held(), _key(config, shape, work): costs.as_record()}
    write_whole(path, json.dumps(content, indent=1).encode() + b"\n")
    return path


def _held() -> dict[str, Any]:
    path = costs_file()
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"measure: {path} cannot be read: {error}; remove it, and measure again") from error
    if not isinstance(content, dict):
        raise ConfigError(f"measure: {path}: expected a JSON object; remove it, and measure again")
    return content


def _key(config: TrainConfig, shape: ModelShape, work: Workload) -> str:
    """What costs depend on: machine, threads, libraries, shape, precision, layout, optimizer, and episodes, roughly."""
    policy = config.policy
    episodes = {name: f"{getattr(work, name):.2g}" for name in _EPISODES}
    parts: list[Any] = [platform.node(), platform.machine(), torch.__version__, torch.get_num_threads()]
    parts += [policy.device, policy.dtype, policy.packing, policy.gradient_checkpointing, config.optim.algorithm]
    parts += [{**asdict(shape), "name": ""}, episodes]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
