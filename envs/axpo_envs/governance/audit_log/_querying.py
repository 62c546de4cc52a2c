"""Defines `read_calls`, which reads the calls of an audit log, each decision with its end, and `CallQuery`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from axpo_envs.governance.audit_log._chain import AuditLogError, files_of, read_line

_GLOBS: Final = ("tool", "verdict", "rule", "run", "environment", "agent", "question", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallQuery:
    """Which calls are wanted: those that fit every field that is given; texts are patterns as of file names."""

    tool: str | None = None
    """Names of tools."""
    verdict: str | None = None
    """`allow`, `deny`, `dry_run`, `modify`; an empty one for calls that no rule was asked about."""
    rule: str | None = None
    """Names of rules, defaults and budgets."""
    status: str | None = None
    """How calls ended: `ok`, `error`, `denied`, `timeout`, `dry_run`, `fault`; `unknown` where no end is recorded."""
    run: str | None = None
    """Names of runs."""
    environment: str | None = None
    """Ids of environments."""
    agent: str | None = None
    """Members of a team."""
    question: str | None = None
    """Ids of questions."""
    episode: str | None = None
    """How the identity of an episode begins, or of a moment in it."""
    since: str | None = None
    """ISO date or time, UTC where it names no zone; calls from then on."""
    until: str | None = None
    """Calls before then."""

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            _time(name, getattr(self, name))

    def fits(self, call: Mapping[str, Any]) -> bool:
        """Whether a call is wanted."""
        for name in _GLOBS:
            wanted = getattr(self, name)
            if wanted is not None and not fnmatchcase(str(call.get(name, "")), wanted):
                return False
        if self.episode is not None and not any(
            str(call.get(name, "")).startswith(self.episode) for name in ("episode", "moment")
        ):
            return False
        since, until = _time("since", self.since), _time("until", self.until)
        if since is None and until is None:
            return True
        made = datetime.fromisoformat(str(call["time"]))
        return (since is None or made >= since) and (until is None or made < until)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCalls:
    """The calls of a log."""

    calls: tuple[Mapping[str, Any], ...]
    """Each decision with `status`, `result` and `seconds` of its end."""
    damaged: int
    """Lines that are not what was written, or no records of calls; `verify_log` says which."""


def read_calls(folder: str | Path, query: CallQuery | None = None) -> ReadCalls:
    """The calls of a log, in the order in which they were decided.

    Args:
        folder: where it lies.
        query: which are wanted; None for all.

    Raises:
        AuditLogError: the folder holds no log, or cannot be read.
    """
    decisions: list[Mapping[str, Any]] = []
    ends: dict[Any, Mapping[str, Any]] = {}
    damaged = 0
    for record in _records(Path(folder).expanduser()):
        if record is None:
            damaged += 1
        elif record.get("kind") == "decision":
            if _is_decision(record):
                decisions.append(record)
            else:
                damaged += 1
        elif record.get("kind") == "result":
            if type(record.get("call")) is int and isinstance(record.get("status"), str):
                ends[record["call"]] = record
            else:
                damaged += 1
    calls = (_joined(decision, ends.get(decision["n"])) for decision in decisions)
    return ReadCalls(calls=tuple(call for call in calls if query is None or query.fits(call)), damaged=damaged)


def _is_decision(record: Mapping[str, Any]) -> bool:
    """Whether a record has what every decision has: one that was put in, with a hash that is right, may not."""
    texts = all(isinstance(record.get(name), str) for name in ("tool", "time"))
    if not texts or type(record.get("n")) is not int or not isinstance(record.get("status", ""), str):
        return False
    try:
        return datetime.fromisoformat(record["time"]).tzinfo is not None
    except ValueError:
        return False


def _joined(decision: Mapping[str, Any], end: Mapping[str, Any] | None) -> Mapping[str, Any]:
    call = {name: value for name, value in decision.items() if name not in ("kind", "prev", "hash")}
    if "status" in call:
        return call
    if end is None:
        return {**call, "status": "unknown"}
    known = ("outcome", "status", "result", "seconds", "fault")
    return {**call, **{name: end[name] for name in known if name in end}}


def _records(folder: Path) -> Iterator[Mapping[str, Any] | None]:
    """What the lines say; None for a line that is not what was written."""
    try:
        files = files_of(folder)
        if not files:
            raise AuditLogError(f"audit log: {folder} holds none")
        for path in files:
            with path.open("rb") as file:
                for raw in file:
                    try:
                        link = read_line(raw.removesuffix(b"\n"))
                    except ValueError:
                        yield None
                        continue
                    yield link.record if link.sound else None
    except OSError as error:
        raise AuditLogError(f"audit log: {folder} cannot be read: {error.strerror}") from error


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise AuditLogError(f"{name}: expected a date or a time such as 2026-01-31T12:00; got {text!r:.80}") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
