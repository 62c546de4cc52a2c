"""Benchmarks as environments: `axpo/Benchmark-v0`, its reward, and the guard that keeps benchmarks out of searches."""

from axpo_benchmarks.environment._env import BenchmarkEnv, BenchmarkSettings
from axpo_benchmarks.environment._guard import GuardedImageSearch, GuardedSearch, sites_of
from axpo_benchmarks.environment._reward import ScorerReward, response_of

__all__ = [
    "BenchmarkEnv",
    "BenchmarkSettings",
    "GuardedImageSearch",
    "GuardedSearch",
    "ScorerReward",
    "response_of",
    "sites_of",
]
