"""Acting with permission: policies that say which calls may be made, who is asked, and a log of every decision."""

from axpo_envs.governance._checking import CheckedCall, RecordedCall, check_calls, read_recorded
from axpo_envs.governance._gate import Judgement, PolicyGate, judge
from axpo_envs.governance._governance import Governance, GovernedSettings
from axpo_envs.governance._matching import Facts
from axpo_envs.governance._reading import PolicyError, read_policy
from axpo_envs.governance.approvers import Approval, ApprovalRequest, Approver, HttpApprover, TerminalApprover
from axpo_envs.governance.audit_log import (
    Anchor,
    AuditLog,
    AuditLogError,
    CallQuery,
    LogSettings,
    Problem,
    ReadCalls,
    Verification,
    read_calls,
    verify_log,
)
from axpo_envs.governance.policy import (
    Action,
    Ask,
    Bounds,
    Budget,
    Cost,
    Per,
    Phase,
    Policy,
    Recording,
    Rule,
    Unit,
)

__all__ = [
    "Action",
    "Anchor",
    "Approval",
    "ApprovalRequest",
    "Approver",
    "Ask",
    "AuditLog",
    "AuditLogError",
    "Bounds",
    "Budget",
    "CallQuery",
    "CheckedCall",
    "Cost",
    "Facts",
    "Governance",
    "GovernedSettings",
    "HttpApprover",
    "Judgement",
    "LogSettings",
    "Per",
    "Phase",
    "Policy",
    "PolicyError",
    "PolicyGate",
    "Problem",
    "ReadCalls",
    "RecordedCall",
    "Recording",
    "Rule",
    "TerminalApprover",
    "Unit",
    "Verification",
    "check_calls",
    "judge",
    "read_calls",
    "read_policy",
    "read_recorded",
    "verify_log",
]
