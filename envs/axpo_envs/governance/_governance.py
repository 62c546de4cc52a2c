"""Defines `Governance`, under which an environment acts: a policy, a phase, and a log; and how settings name one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.gate import AllOf, Gate
from axpo_envs.governance._gate import PolicyGate
from axpo_envs.governance._reading import read_policy
from axpo_envs.governance.approvers import approver_of
from axpo_envs.governance.audit_log import EpisodeLog, LogSettings, open_log
from axpo_envs.governance.policy import Phase, Policy, Recording
from axpo_envs.spec import ToolEnvSpec

THIS_RUN: Final = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{secrets.token_hex(3)}"
"""What the run of this process is called where nobody said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Governance:
    """A policy, what an agent acts for, and where decisions are recorded. Without policy and log it changes nothing."""

    policy: str | Path | Mapping[str, Any] | Policy | None = None
    """The policy: the path of a TOML file, a mapping, or a `Policy`; None lets every call run."""
    phase: str | None = None
    """`training`, `evaluation` or `production`; needed where the policy tells them apart."""
    audit_log: str | Path | None = None
    """Folder of the audit log; None keeps none."""
    run: str | None = None
    """What the run is called, whose environments share budgets, answers and a log; by default one per process."""
    log_settings: LogSettings = LogSettings()  # noqa: RUF009 - it is immutable
    """How the log is written."""

    def __post_init__(self) -> None:
        if self.phase is not None and self.phase not in tuple(Phase):
            raise EnvConfigError(f"phase must be one of {', '.join(Phase)}; got {self.phase!r}")
        if not isinstance(self.audit_log, str | Path | None) or self.audit_log == "" or "\0" in str(self.audit_log):
            raise EnvConfigError(f"audit_log must be the path of a folder; got {self.audit_log!r:.100}")
        if not isinstance(self.run, str | None) or self.run == "":
            raise EnvConfigError(f"run must be a name; got {self.run!r:.100}")

    def over(self, spec: ToolEnvSpec) -> ToolEnvSpec:
        """What an environment is made of, with the policy as its last gate, and part of its fingerprint.

        The log is opened, and an approver is found or made, before anything else happens.

        Raises:
            EnvConfigError: policy, approver or log are unusable, or the phase is not stated and the policy needs it.
        """
        if self.policy is None and self.audit_log is None:
            return spec
        phase = None if self.phase is None else Phase(self.phase)
        policy = None if self.policy is None else read_policy(self.policy)
        gate, settings = spec.gate, spec.settings
        if policy is not None:
            gate = _with(gate, self._gate(policy, phase, spec))
            settings = (*settings, ("policy", policy.fingerprint), ("phase", self.phase))
        log = spec.log
        if self.audit_log is not None:
            log = self._log(policy, spec)
        return replace(spec, gate=gate, settings=settings, log=log)

    def _gate(self, policy: Policy, phase: Phase | None, spec: ToolEnvSpec) -> PolicyGate:
        if phase is None and policy.tells_phases:
            raise EnvConfigError(f"phase must be one of {', '.join(Phase)}, which the policy tells apart; got none")
        if policy.asks:
            approver_of(policy.ask)
        run = self.run or THIS_RUN
        return PolicyGate(policy=policy, environment=spec.env_id, phase=phase, run=run, tools=spec.tools)

    def _log(self, policy: Policy | None, spec: ToolEnvSpec) -> EpisodeLog:
        assert self.audit_log is not None
        folder = Path(self.audit_log).expanduser().absolute()
        open_log(folder, self.log_settings)
        return EpisodeLog(
            folder=folder,
            run=self.run or THIS_RUN,
            environment=spec.env_id,
            phase=self.phase or "",
            policy="" if policy is None else policy.fingerprint,
            recording=Recording() if policy is None else policy.audit_log,
            settings=self.log_settings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernedSettings:
    """The keyword arguments by which every environment of the suite acts under a policy and a log."""

    policy: Any = None
    """What the agent may do: the path of a policy's TOML file, a mapping, or an `axpo_envs.governance.Policy`; None
    lets every call run. It is part of the environment's rules."""
    phase: str | None = None
    """What the agent acts for: `training`, `evaluation` or `production`."""
    audit_log: Any = None
    """Folder of the audit log, in which every decision about a call is recorded; None keeps none."""
    run: str | None = None
    """What the run is called, whose environments share budgets and a log; by default one per process."""

    @property
    def governance(self) -> Governance:
        """The four of them."""
        return Governance(policy=self.policy, phase=self.phase, audit_log=self.audit_log, run=self.run)


def _with(gate: Gate | None, further: Gate) -> Gate:
    return further if gate is None else AllOf((gate, further))
