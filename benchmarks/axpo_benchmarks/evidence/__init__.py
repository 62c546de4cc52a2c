"""The evidence: which cells are run, in which order, their rows, and what the rows tell; `axpo-bench evidence`."""

from axpo_benchmarks.evidence.command import EvidenceConfig, run_evidence

__all__ = ["EvidenceConfig", "run_evidence"]
