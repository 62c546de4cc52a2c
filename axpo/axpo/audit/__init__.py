"""Audits of rollouts that any trainer or harness has written: what they say of acting, whatever trained the policy."""

from axpo.audit.audit import AuditSettings, Findings, ToolFindings, audit
from axpo.audit.conditions import Change, Expression, Measured, fell
from axpo.audit.figures import figures, measured_of
from axpo.audit.verdict import verdict

__all__ = [
    "AuditSettings",
    "Change",
    "Expression",
    "Findings",
    "Measured",
    "ToolFindings",
    "audit",
    "fell",
    "figures",
    "measured_of",
    "verdict",
]
