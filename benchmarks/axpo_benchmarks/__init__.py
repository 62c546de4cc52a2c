"""Benchmarks, their scorers and the harness that puts models through them; speed tables and evidence over seeds.

Importing it registers `axpo/Benchmark-v0`.
"""

from axpo_benchmarks._registration import register_envs

__all__ = ["register_envs"]

register_envs()
