"""`axpo-bench sb3`: stable-baselines3 trained on tool environments from the random floor up, with curves."""

from axpo_benchmarks.sb3._command import Sb3Config, run_sb3

__all__ = ["Sb3Config", "run_sb3"]
