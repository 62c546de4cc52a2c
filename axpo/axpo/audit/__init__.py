"""Audits of rollouts that any trainer or harness has written: what they say of acting, whatever trained the policy."""

from axpo.audit.audit import AuditSettings, Findings, audit
from axpo.audit.conditions import Change, Expression, fell
from axpo.audit.verdict import verdict

__all__ = ["AuditSettings", "Change", "Expression", "Findings", "audit", "fell", "verdict"]
