"""The evidence: which cells are run, in which order, their rows, and what the rows tell; `axpo-bench evidence`."""

from axpo_benchmarks.evidence.command import EvidenceConfig, run_evidence
from axpo_benchmarks.evidence.phase import PhaseConfig, run_phase
from axpo_benchmarks.evidence.report import EvidenceReportConfig, run_evidence_report

__all__ = ["EvidenceConfig", "EvidenceReportConfig", "PhaseConfig", "run_evidence", "run_evidence_report", "run_phase"]
