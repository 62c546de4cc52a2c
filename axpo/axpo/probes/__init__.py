"""Probes of a live policy: it is asked again from exact snapshots of what it did, with one thing changed."""

from axpo.probes.calibration import calibration
from axpo.probes.call_clusters import call_clusters
from axpo.probes.call_diversity import call_diversity
from axpo.probes.forced_acting import forced_acting
from axpo.probes.probe import ProbeResult, probe, probe_checkpoint
from axpo.probes.subject import Finding, Subject
from axpo.probes.without_tools import without_tools
from axpo.settings._probe import ProbeConfig, ProbeName, Sources

__all__ = [
    "Finding",
    "ProbeConfig",
    "ProbeName",
    "ProbeResult",
    "Sources",
    "Subject",
    "calibration",
    "call_clusters",
    "call_diversity",
    "forced_acting",
    "probe",
    "probe_checkpoint",
    "without_tools",
]
