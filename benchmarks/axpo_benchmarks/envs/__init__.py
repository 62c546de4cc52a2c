"""`axpo-bench envs`: what reference agents score in every environment, and what its snapshots cost."""

from axpo_benchmarks.envs._command import EnvsConfig, run_envs

__all__ = ["EnvsConfig", "run_envs"]
