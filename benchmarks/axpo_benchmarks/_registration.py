"""Defines what makes `axpo/Benchmark-v0` known to Gymnasium; nothing of it is imported until it is made."""

from __future__ import annotations

import gymnasium

ENV_ID = "axpo/Benchmark-v0"
"""Gymnasium id."""


def register_envs() -> None:
    """Registers the environment; doing so again changes nothing."""
    if ENV_ID not in gymnasium.registry:
        entry_point = "axpo_benchmarks.environment:BenchmarkEnv"
        gymnasium.register(ENV_ID, entry_point=entry_point, order_enforce=False, disable_env_checker=True)
