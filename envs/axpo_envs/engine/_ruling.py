"""Defines `rule_on`, which asks the gate about a call, and what is read of calls that are withheld or changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from axpo_envs.engine._judging import Decision, fault_of
from axpo_envs.errors import InfrastructureFault
from axpo_envs.gate import CallRequest, Decided, Gate, Ruling, Verdict, modified
from axpo_envs.tool.protocol import PreviewingTool, ToolError
from axpo_envs.types import CallOutcome, CallRecord, EpisodeState, ToolResult, ToolStatus

_DENIED: Final = "this call is not permitted"
_DRY: Final = "the call is valid; it was not executed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where in an episode a call stands."""

    state: EpisodeState
    """The episode before the turn."""
    number: int
    """How many calls the episode attempted before it."""
    earlier: tuple[CallRecord, ...]
    """The calls of the turn before it."""
    tool_states: Mapping[str, Any]
    """The tools' states right before it."""
    agent: str
    """Who calls."""

    def decided(self, decision: Decision, ruling: Ruling | None) -> Decided:
        """What a log is told of a decision."""
        return Decided(
            state=self.state,
            number=self.number,
            call=decision.call,
            outcome=decision.outcome,
            tool=decision.named,
            arguments=decision.written,
            ruling=ruling,
            agent=self.agent,
        )


def rule_on(decision: Decision, gate: Gate | None, moment: Moment) -> tuple[Decision, Ruling | None]:
    """The decision after the gate was asked, and its ruling; a call that cannot run is none that it is asked about.

    Raises:
        TypeError: the gate returns no ruling.
    """
    if gate is None or decision.tool is None:
        return decision, None
    tool = decision.tool
    request = CallRequest(
        tool=tool,
        arguments=decision.arguments,
        call=decision.call,
        state=moment.state,
        number=moment.number,
        written=decision.written or {},
        earlier=moment.earlier,
        tool_state=moment.tool_states.get(tool.name),
        agent=moment.agent,
    )
    ruling = gate(request)
    if not isinstance(ruling, Ruling):
        raise TypeError(f"expected the gate of an environment to return a Ruling; got {ruling!r}")
    if ruling.verdict is Verdict.MODIFY:
        ruling, request = _modified(request, ruling)
    if ruling.verdict in (Verdict.ALLOW, Verdict.MODIFY):
        return replace(decision, arguments=request.arguments), ruling
    denied = ruling.verdict is Verdict.DENY
    status, problem = _withholding(request, ruling) if not denied else (ToolStatus.DENIED, ruling.reason or _DENIED)
    return replace(decision, outcome=CallOutcome.WITHHELD, tool=None, status=status, problem=problem), ruling


def refusal(decision: Decision, ruling: Ruling | None, agent: str) -> CallRecord:
    """The record of a call that does not run."""
    opening = "Dry run" if decision.status is ToolStatus.DRY_RUN else "Error"
    result = ToolResult(status=decision.status, content=(f"{opening}: {decision.problem.rstrip('.')}.",))
    rule = "" if ruling is None else ruling.rule
    return CallRecord(call=decision.call, outcome=decision.outcome, result=result, rule=rule, agent=agent)


def executed(decision: Decision, ruling: Ruling | None, result: ToolResult, agent: str) -> CallRecord:
    """The record of a call that ran; where the gate changed it, its result begins with what it ran with."""
    changed = None
    if ruling is not None and ruling.verdict is Verdict.MODIFY:
        changed = json.dumps(ruling.arguments, ensure_ascii=False)
        why = f" ({ruling.reason.rstrip('.')})" if ruling.reason else ""
        result = replace(result, content=(f"Note: this call was executed with {changed}{why}.\n", *result.content))
    rule = "" if ruling is None else ruling.rule
    return CallRecord(
        call=decision.call, outcome=CallOutcome.EXECUTED, result=result, changed=changed, rule=rule, agent=agent
    )


def _modified(request: CallRequest, ruling: Ruling) -> tuple[Ruling, CallRequest]:
    try:
        return modified(request, ruling)
    except (InfrastructureFault, TypeError):
        raise
    except Exception as error:
        raise fault_of(request.tool, request.call, error) from error


def _withholding(request: CallRequest, ruling: Ruling) -> tuple[ToolStatus, str]:
    """The status and the text of a dry run: what the call would change, where its tool can tell."""
    tool = request.tool
    if not isinstance(tool, PreviewingTool):
        return ToolStatus.DRY_RUN, ruling.reason or _DRY
    try:
        told = tool.preview(request.arguments, request.tool_state)
        if not isinstance(told, str):
            raise TypeError(f"preview must return a text; got {told!r}")
    except ToolError as error:
        return ToolStatus.ERROR, str(error)
    except InfrastructureFault:
        raise
    except Exception as error:
        raise fault_of(tool, request.call, error) from error
    return ToolStatus.DRY_RUN, f"{told.rstrip('.')}. {ruling.reason or 'It was not executed'}"
