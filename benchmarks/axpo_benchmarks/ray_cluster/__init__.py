"""`axpo-bench ray`: workers of Ray killed at random moments, and a cluster of two nodes."""

from axpo_benchmarks.ray_cluster._command import RayChecksConfig, run_ray

__all__ = ["RayChecksConfig", "run_ray"]
