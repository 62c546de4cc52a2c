"""The audit log: what was decided about every call and what came of it, in lines that are chained by their hashes."""

from axpo_envs.governance.audit_log._call_log import EpisodeLog
from axpo_envs.governance.audit_log._chain import AuditLogError
from axpo_envs.governance.audit_log._opening import open_log
from axpo_envs.governance.audit_log._querying import CallQuery, ReadCalls, read_calls
from axpo_envs.governance.audit_log._redaction import Redactor
from axpo_envs.governance.audit_log._verifying import Anchor, Problem, Verification, verify_log
from axpo_envs.governance.audit_log._writing import AuditLog, LogSettings

__all__ = [
    "Anchor",
    "AuditLog",
    "AuditLogError",
    "CallQuery",
    "EpisodeLog",
    "LogSettings",
    "Problem",
    "ReadCalls",
    "Redactor",
    "Verification",
    "open_log",
    "read_calls",
    "verify_log",
]
