"""Registers `bench/JournaledSigns-v0`, so that runs find it by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import gymnasium

from axpo_benchmarks.ray_cluster._signs import journaled_signs
from axpo_envs.env import ToolEnv
from axpo_envs.tool.protocol import Effects

ENV_ID: Final = "bench/JournaledSigns-v0"


class JournaledSigns(ToolEnv):
    """See `journaled_signs`; every call takes no time.

    Args:
        journal: where calls are written down.
        render_mode: as in Gymnasium.
    """

    def __init__(self, *, journal: str, render_mode: str | None = None) -> None:
        super().__init__(journaled_signs(Path(journal), Effects.PURE, 0.0).rules, render_mode=render_mode)


if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point=f"{__name__}:JournaledSigns", order_enforce=False, disable_env_checker=True)
