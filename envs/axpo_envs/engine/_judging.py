"""Defines `judge_call`, which decides whether a call is one that its tool can take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from axpo_envs.engine._toolbox import Toolbox
from axpo_envs.errors import EnvConfigError, InfrastructureFault, ToolFault
from axpo_envs.parsing import ParsedCall, clip
from axpo_envs.tool._argument_types import type_arguments
from axpo_envs.tool.protocol import Tool, ToolError, ToolTimeout
from axpo_envs.types import CallOutcome, ToolCall, ToolStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A call judged, before anything runs."""

    call: ToolCall
    """The call, its arguments read according to the tool's schema."""
    outcome: CallOutcome
    """`EXECUTED` if it may run; else why not."""
    tool: Tool | None = None
    """The tool to run; None if it may not run."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The validated arguments."""
    written: Mapping[str, Any] | None = None
    """The arguments as JSON; None where they cannot be read."""
    named: Tool | None = None
    """The tool that the call names, whether or not it may run; None where there is none."""
    status: ToolStatus = ToolStatus.ERROR
    """What its result says if it may not run."""
    problem: str = ""
    """Why it may not run, for the policy."""


def judge_call(parsed: ParsedCall, toolbox: Toolbox, *, forbidden: str = "") -> Decision:
    """Decides whether a call may run.

    Args:
        parsed: the call.
        toolbox: the environment's tools.
        forbidden: why a limit forbids calls here, for the policy; empty where none does.

    Raises:
        ToolFault: the tool's validation failed by itself.
    """
    call = parsed.call
    if parsed.defect is not None:
        return Decision(call=call, outcome=parsed.defect, problem=parsed.problem)
    tool = toolbox.find(call.name)
    if tool is None:
        known = ", ".join(tool.name for tool in toolbox.tools) or "none"
        problem = f"there is no tool named {clip(call.name)!r}; the tools are: {known}"
        unknown = CallOutcome.UNKNOWN_TOOL
        return Decision(call=call, outcome=unknown, problem=problem, written=parsed.arguments)
    written = parsed.arguments
    if parsed.untyped:
        written = type_arguments(written, tool.parameters)
        call = replace(call, arguments=json.dumps(written, ensure_ascii=False))
    try:
        arguments = tool.validate(written)
    except ToolTimeout as error:
        problem = f"the arguments of {tool.name} could not be checked: {error}"
        invalid, status = CallOutcome.INVALID_ARGUMENTS, ToolStatus.TIMEOUT
        return Decision(call=call, outcome=invalid, status=status, problem=problem, written=written, named=tool)
    except ToolError as error:
        problem = f"the arguments of {tool.name} are invalid: {error}"
        invalid = CallOutcome.INVALID_ARGUMENTS
        return Decision(call=call, outcome=invalid, problem=problem, written=written, named=tool)
    except InfrastructureFault:
        raise
    except Exception as error:
        raise fault_of(tool, call, error) from error
    if forbidden:
        over, denied = CallOutcome.OVER_LIMIT, ToolStatus.DENIED
        return Decision(call=call, outcome=over, status=denied, problem=forbidden, written=written, named=tool)
    executed = CallOutcome.EXECUTED
    return Decision(call=call, outcome=executed, tool=tool, arguments=arguments, written=written, named=tool)


def fault_of(tool: Tool, call: ToolCall, error: Exception) -> ToolFault:
    """What is raised when a tool's code fails with an exception of its own."""
    advice = "; a tool raises ToolError (or a type declared in @tool(errors=...)) for what the policy should read"
    raised = f"tool {tool.name!r} raised {type(error).__name__}: {error} (arguments {clip(call.arguments, 400)})"
    # Settings are wrong, and the message says which: it is nothing that a policy could mend.
    return ToolFault(raised if isinstance(error, EnvConfigError) else raised + advice)
