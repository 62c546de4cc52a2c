"""Defines the measures of the calibration plane: how often a policy acts, and how often acting succeeds."""

from __future__ import annotations

from typing import Final

from axpo.diagnostics.metrics import evaluation_metrics
from axpo.probes.subject import Finding, Subject

PLANE: Final = ("tool_attempt_rate", "tool_pass1")
"""The measures of the plane: across, and up."""

_SHOWN: Final = ("pass1", *PLANE, "no_tool_pass1")


def calibration(subject: Subject) -> Finding:
    """Attempt rate and conditional Pass@1 of the rollouts as they are; nothing is sampled for it."""
    metrics = evaluation_metrics(subject.groups, ks=(1,), success_threshold=subject.plan.success_threshold)
    return Finding(metrics={name: metrics[name] for name in _SHOWN})
