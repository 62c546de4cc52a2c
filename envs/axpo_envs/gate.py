"""Defines `Gate`, which decides whether a call may run, and `Audit` and `CallLog`, which are told of every call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from axpo_envs.tool.protocol import Tool, ToolError
from axpo_envs.types import CallOutcome, CallRecord, EpisodeState, ToolCall


class Verdict(StrEnum):
    """What a gate says of a call."""

    ALLOW = "allow"
    """It runs."""
    DENY = "deny"
    """It does not run; the policy reads the reason as an error."""
    DRY_RUN = "dry_run"
    """It does not run; the policy reads what it would change, or that it was checked."""
    MODIFY = "modify"
    """It runs with the arguments of the ruling, which are validated again; the policy reads with which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A gate's decision."""

    verdict: Verdict
    """What happens with the call."""
    reason: str = ""
    """Why, for the policy; a default text where empty."""
    arguments: Mapping[str, Any] | None = None
    """With `MODIFY`: what it runs with, as JSON; None otherwise."""
    rule: str = ""
    """Name of the rule that decided; empty where there are none."""
    by: str = ""
    """Who decided, where somebody was asked."""
    ended: tuple[Callable[[CallRecord], None], ...] = ()
    """Told what became of the call that this ruling let run, once there is a record of it: also if a later gate, or a
    log that cannot record it, withholds the call. Not told where a fault ends the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A call that parsed, names a known tool, fits its schema and is within every limit: ready to run."""

    tool: Tool
    """The tool."""
    arguments: Mapping[str, Any]
    """The validated arguments."""
    call: ToolCall
    """The call as written."""
    state: EpisodeState
    """The episode before the turn."""
    number: int
    """How many calls the episode attempted before this one, earlier ones of the same turn included."""
    written: Mapping[str, Any] = field(default_factory=dict)
    """The arguments as JSON, before the tool's validation converted them."""
    earlier: tuple[CallRecord, ...] = ()
    """The calls of this turn before this one."""
    tool_state: Any = None
    """The tool's own state right before the call."""
    agent: str = ""
    """Who calls, in a team; empty where there is none."""


Gate: TypeAlias = Callable[[CallRequest], Ruling]
"""Decides about a call, right before it would run: permissions and dry runs.

Rewinding is exact where equal requests get equal rulings. Calls of different episodes ask from several threads. What a
gate or an audit raises passes unchanged.
"""

Audit: TypeAlias = Callable[[EpisodeState, CallRecord], None]
"""Is told the episode before the turn and the record of every attempted call, in the order of a turn's calls.

Calls of different episodes tell from several threads. A branch that is abandoned has been told of all the same.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An attempted call on which it was decided, before anything of it has run."""

    state: EpisodeState
    """The episode before the turn."""
    number: int
    """How many calls the episode attempted before this one."""
    call: ToolCall
    """The call as written."""
    outcome: CallOutcome
    """`EXECUTED` where it is about to run; else why it will not."""
    tool: Tool | None = None
    """The tool that it names; None where there is none, or the call cannot be read."""
    arguments: Mapping[str, Any] | None = None
    """The arguments as JSON; None where they cannot be read."""
    ruling: Ruling | None = None
    """What the gate said; None where none was asked."""
    agent: str = ""
    """Who calls, in a team."""


class UnrecordedError(Exception):
    """A call cannot be recorded, and is therefore not made; the policy reads the message as an error."""


class CallLog(Protocol):
    """Is told of every attempted call: of a call that runs twice, before it runs and when it has ended."""

    def decided(self, decided: Decided, record: CallRecord | None) -> Callable[[CallRecord | BaseException], None]:
        """Records a decision.

        Args:
            decided: the call, and what was decided.
            record: what became of the call where it does not run; None where it is about to.

        Returns:
            Is told how a call that ran has ended: its record, or what it raised.

        Raises:
            UnrecordedError: it cannot be recorded, and the call is not to be made.
            InfrastructureFault: it cannot be recorded, and the episode is not to be scored.
        """
        ...


@dataclass(frozen=True, slots=True)
class AllOf:
    """A gate of several: the first of them that withholds a call decides, later ones are not asked.

    A gate behind one that modifies a call is asked about the modified one.
    """

    gates: tuple[Gate, ...]
    """The gates."""

    def __call__(self, request: CallRequest) -> Ruling:
        """What they say of a call."""
        passed = Ruling(verdict=Verdict.ALLOW)
        for gate in self.gates:
            ruling = gate(request)
            if ruling.verdict is Verdict.MODIFY:
                ruling, request = modified(request, ruling)
            ended = (*passed.ended, *ruling.ended)
            if ruling.verdict not in (Verdict.ALLOW, Verdict.MODIFY):
                return replace(ruling, ended=ended)
            if ruling.verdict is Verdict.ALLOW and passed.verdict is Verdict.MODIFY:
                passed = replace(passed, ended=ended)
            else:
                rule, by = ruling.rule or passed.rule, ruling.by or passed.by
                passed = replace(ruling, ended=ended, rule=rule, by=by)
        return passed


def modified(request: CallRequest, ruling: Ruling) -> tuple[Ruling, CallRequest]:
    """A request with the arguments of a ruling, validated by the tool; a denial where they do not fit its schema.

    Raises:
        TypeError: a ruling `MODIFY` has no arguments.
        Exception: what the tool's validation raises beside `ToolError`.
    """
    if ruling.arguments is None:
        raise TypeError("expected a ruling MODIFY to have arguments; got None")
    try:
        arguments = request.tool.validate(ruling.arguments)
    except ToolError as error:
        reason = f"this call is not permitted as it was written, and what it would be changed to is invalid: {error}"
        return replace(ruling, verdict=Verdict.DENY, reason=reason, arguments=None), request
    return ruling, replace(request, written=ruling.arguments, arguments=arguments)
