"""Defines `check_tool`, which holds a tool to its contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axpo_envs.conformance._fuzz import FUZZ, Fuzz
from axpo_envs.conformance._invariants import Invariant, fail, nothing_raised, travelled
from axpo_envs.conformance._travel import check_tool_travel
from axpo_envs.engine._frozen import find_mutable
from axpo_envs.examples import odd_arguments
from axpo_envs.tool.protocol import Effects, Tool, ToolArgumentError, ToolContext, ToolError, ToolTimeout
from axpo_envs.types import Question, ToolResult, ToolStatus


def check_tool(tool: Tool, *, arguments: Mapping[str, Any], question: Question | None = None, fuzz: int = FUZZ) -> None:
    """Holds a tool to the invariants.

    Args:
        tool: the tool.
        arguments: arguments that fit it, as read from JSON.
        question: the question of the episode it is called in; one without images by default.
        fuzz: so many arguments drawn at random are validated, and those that fit are called with, unless the tool acts
            on the outside world or has a time limit; 10,000 make a thorough check.

    Raises:
        ConformanceError: an invariant does not hold.
    """
    schema = tool.parameters
    if not (tool.name and tool.description and isinstance(schema, Mapping) and schema.get("type") == "object"):
        fail(Invariant.TOOL_DESCRIBES, f"Got {tool.name!r}, {tool.description!r}, {schema!r}.")
    question = question if question is not None else Question(id="check", prompt=("Check.",), answer="")
    state = tool.initial_state(question)
    if state is not None and tool.effects is Effects.PURE:
        fail(Invariant.TOOL_DECLARES, f"{tool.name} starts with {state!r}.")
    before = _travelled_state(state)
    result, after = _tool_step(tool, arguments, state, question)
    if before != state:
        fail(Invariant.TOOL_STATE_STAYS, f"It went from {before!r} to {state!r}.")
    _travelled_state(after)
    if tool.effects is not Effects.EXTERNAL:
        again, after_again = _tool_step(tool, arguments, state, question)
        results = [(one.status, one.content) for one in (result, again)]
        if results[0] != results[1] or after != after_again:
            fail(Invariant.TOOL_REPEATS, f"Got {results[0]!r}, {after!r} and then {results[1]!r}, {after_again!r}.")
    _check_refusals(tool, arguments)
    _check_fuzz(tool, state, question, fuzz)
    check_tool_travel(tool, arguments, question)


def _travelled_state(state: Any) -> Any:
    if problem := find_mutable(state):
        fail(Invariant.TOOL_STATE_IS_DATA, f"Of {state!r}, {problem}.")
    return travelled(Invariant.TOOL_STATE_TRAVELS, state)


def _tool_step(tool: Tool, arguments: Mapping[str, Any], state: Any, question: Question) -> tuple[ToolResult, Any]:
    context = ToolContext(question=question, images=question.images, seed=0)
    with nothing_raised(Invariant.TOOL_RUNS, f"{tool.name}({dict(arguments)!r})"):
        validated = tool.validate(arguments)
        try:
            result, after = tool.step(validated, state, context)
        except ToolError as error:
            return ToolResult(status=ToolStatus.ERROR, content=(str(error),)), state
    if not isinstance(result, ToolResult):
        fail(Invariant.TOOL_RUNS, f"{tool.name} returned {result!r}, not a ToolResult.")
    return result, after


def _check_fuzz(tool: Tool, state: Any, question: Question, number: int) -> None:
    drawn = Fuzz((tool,), seed=0)
    # Without an environment around it, nothing stops a call at the tool's time limit.
    called = tool.effects is not Effects.EXTERNAL and tool.timeout_s is None
    for _ in range(number):
        arguments = drawn.arguments(tool)
        with nothing_raised(Invariant.TOOL_REFUSES, f"{tool.name}.validate({arguments!r:.500})"):
            try:
                tool.validate(arguments)
            except (ToolArgumentError, ToolTimeout):
                continue
        if called:
            _tool_step(tool, arguments, state, question)


def _check_refusals(tool: Tool, arguments: Mapping[str, Any]) -> None:
    required = tuple(tool.parameters.get("required", ()))
    lacking = [{key: value for key, value in arguments.items() if key != name} for name in required]
    for given in (*lacking, *odd_arguments(tool.parameters, arguments)):
        with nothing_raised(Invariant.TOOL_REFUSES, f"{tool.name}.validate({given!r})"):
            try:
                tool.validate(given)
            except ToolArgumentError:
                continue
        if missing := [name for name in required if name not in given]:
            fail(Invariant.TOOL_REFUSES, f"{tool.name} took {given!r} without {', '.join(missing)}.")
