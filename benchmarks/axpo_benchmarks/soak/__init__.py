"""`axpo-bench soak`: what must hold for days, tried for long: episodes, odd turns, kills, noisy neighbours."""

from axpo_benchmarks.soak._command import SoakConfig, run_soak

__all__ = ["SoakConfig", "run_soak"]
