"""Defines `EpisodeLog`, which records calls of an environment: the decision before a call runs, its end behind it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from axpo_envs.digest import digest_of, opening_digest
from axpo_envs.errors import InfrastructureFault
from axpo_envs.gate import Decided, UnrecordedError, Verdict
from axpo_envs.governance.audit_log._opening import open_log
from axpo_envs.governance.audit_log._redaction import Redactor
from axpo_envs.governance.audit_log._writing import AuditLog, LogSettings, own_version
from axpo_envs.governance.policy import Recording
from axpo_envs.images import ImageRef
from axpo_envs.tool.protocol import Effects
from axpo_envs.types import CallOutcome, CallRecord, EpisodeState, ToolResult

MAX_ARGUMENTS: Final = 16_384
"""Characters of arguments as JSON; of longer ones the beginning is recorded, and the hash of the whole."""

_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeLog:
    """Records the calls of an environment. It pickles; every process opens the folder's log for itself."""

    folder: Path
    """Where the log lies."""
    run: str
    """The run."""
    environment: str
    """Id of the environment."""
    phase: str = ""
    """What the agent acts for; empty where nobody said."""
    policy: str = ""
    """Fingerprint of the policy; empty without one."""
    recording: Recording = field(default_factory=Recording)
    """What is secret, and what happens where a decision cannot be recorded."""
    settings: LogSettings = field(default_factory=LogSettings)
    """How the log is written."""

    def decided(self, decided: Decided, record: CallRecord | None) -> Callable[[CallRecord | BaseException], None]:
        """Records a decision: with its end, where the call does not run. See `axpo_envs.gate.CallLog`."""
        log = open_log(self.folder, self.settings)
        redactor = Redactor.of(self.recording)
        entry = self._entry(decided, redactor)
        if record is not None:
            entry |= _end(record, redactor)
        runs = record is None
        external = runs and decided.tool is not None and decided.tool.effects is Effects.EXTERNAL
        try:
            number = log.append(entry, urgent=external)
        except OSError as error:
            self._unrecorded(log, error)
            return _nobody
        return lambda end: log.append_later({"kind": "result", "call": number, **_end(end, redactor)})

    def _unrecorded(self, log: AuditLog, error: OSError) -> None:
        what = f"the audit log {self.folder} cannot be written: {error}"
        if self.recording.unrecorded == "fault":
            raise InfrastructureFault(what) from error
        if self.recording.unrecorded == "deny":
            _LOGGER.warning("%s; calls are denied", what)
            raise UnrecordedError("this call could not be recorded, and was not made") from error
        _LOGGER.warning("%s; calls are made all the same", what)
        log.tell_lost()

    def _entry(self, decided: Decided, redactor: Redactor) -> dict[str, Any]:
        state, tool, ruling = decided.state, decided.tool, decided.ruling
        parameters = None if tool is None else tool.parameters
        verdict = "" if ruling is None and decided.outcome is not CallOutcome.EXECUTED else Verdict.ALLOW
        entry: dict[str, Any] = {
            "kind": "decision",
            "run": self.run,
            "environment": self.environment,
            "phase": self.phase,
            "agent": decided.agent,
            "question": redactor.text(state.question.id),
            "seed": state.seed,
            "episode": self._episode(state),
            "moment": state.digest,
            "turn": len(state.turns),
            "call": decided.number,
            "tool": redactor.text(decided.call.name)[:200],
            "effects": "" if tool is None else tool.effects.value,
            "verdict": str(verdict if ruling is None else ruling.verdict),
            "rule": "" if ruling is None else ruling.rule,
            "by": "" if ruling is None else ruling.by,
            "reason": "" if ruling is None else redactor.text(ruling.reason),
            "outcome": decided.outcome.value,
            "versions": {"axpo": own_version(), "policy": self.policy},
        }
        if decided.arguments is None:
            entry["text"] = redactor.text(decided.call.arguments)[:MAX_ARGUMENTS]
        else:
            entry["arguments"] = _bounded(redactor.arguments(decided.arguments, parameters))
        if ruling is not None and ruling.verdict is Verdict.MODIFY:
            entry["changed"] = _bounded(redactor.arguments(ruling.arguments, parameters))
        return entry

    def _episode(self, state: EpisodeState) -> str:
        return opening_digest(self.environment, state.question, state.seed)


def result_digest(result: ToolResult) -> str:
    """Hash of what a policy reads of a call: 32 hexadecimal digits."""
    return digest_of(
        "result",
        result.status.value,
        tuple(("image", part.digest) if isinstance(part, ImageRef) else ("text", part) for part in result.content),
    )


def _end(end: CallRecord | BaseException, redactor: Redactor) -> dict[str, Any]:
    if isinstance(end, BaseException):
        return {"status": "fault", "fault": redactor.text(f"{type(end).__name__}: {end}")[:1000]}
    return {
        "outcome": end.outcome.value,
        "status": end.result.status.value,
        "result": result_digest(end.result),
        "seconds": round(end.result.seconds, 6),
    }


def _bounded(arguments: Any) -> Any:
    text = json.dumps(arguments, sort_keys=True)
    if len(text) <= MAX_ARGUMENTS:
        return arguments
    return {
        "beginning": text[:MAX_ARGUMENTS],
        "characters": len(text),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def _nobody(end: CallRecord | BaseException) -> None:
    del end
