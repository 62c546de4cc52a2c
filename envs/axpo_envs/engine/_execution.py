"""Defines the one place through which every tool call passes: decide whether it may run, run it, record it.

| the call | outcome | status | the tool's state |
|---|---|---|---|
| cannot be read (see `axpo_envs.parsing`) | `MALFORMED` or `UNCLOSED` | `ERROR` | stays |
| names no tool of the environment | `UNKNOWN_TOOL` | `ERROR` | stays |
| does not fit the tool's schema | `INVALID_ARGUMENTS` | `ERROR` | stays |
| cannot be checked within the tool's time limit | `INVALID_ARGUMENTS` | `TIMEOUT` | stays |
| fits, but a limit forbids it | `OVER_LIMIT` | `DENIED` | stays |
| is ready to run, and the gate withholds it | `WITHHELD` | `DENIED` or `DRY_RUN` | stays |
| runs, and the tool raises `ToolError` | `EXECUTED` | `ERROR` | stays |
| runs past the tool's time limit | `EXECUTED` | `TIMEOUT` | stays |
| runs to its end | `EXECUTED` | as the tool says | as the tool says |
| makes the tool raise anything else | `ToolFault` (`InfrastructureFault` passes unchanged) | | |
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final

from axpo_envs.engine._frozen import ADVICE, find_mutable
from axpo_envs.engine._judging import Decision, fault_of, judge_call
from axpo_envs.engine._toolbox import Toolbox, ToolStates
from axpo_envs.errors import InfrastructureFault
from axpo_envs.gate import Audit, CallRequest, Gate, Ruling, Verdict
from axpo_envs.images import ImageRef, Size
from axpo_envs.imaging.files import ImageProblemError, check_count
from axpo_envs.imaging.showing import Showing
from axpo_envs.observation import with_captions
from axpo_envs.parsing import ParsedCall
from axpo_envs.tool.protocol import Tool, ToolContext, ToolError, ToolTimeout
from axpo_envs.types import CallOutcome, CallRecord, EpisodeState, ToolResult, ToolStatus

_NO_STATE: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """Executes the calls of an environment's turns."""

    toolbox: Toolbox
    """The tools."""
    max_calls: int
    """Calls executed per turn."""
    showing: Showing = field(default_factory=Showing)
    """How images are shown to the policy."""
    gate: Gate | None = None
    """Decides about the calls that are ready to run; None lets every one run."""
    audit: Audit | None = None
    """Is told of every attempted call."""
    image_caption: str = ""
    """What stands before every image of a result, see `ToolEnvSpec.image_caption`."""

    def execute(self, calls: tuple[ParsedCall, ...], state: EpisodeState) -> tuple[tuple[CallRecord, ...], ToolStates]:
        """Runs the calls of one turn in order; each sees the tool states and images that the one before left.

        Returns:
            A record of every call, and the tools' states after the last.

        Raises:
            ToolFault: a tool's own code failed.
            InfrastructureFault: the machinery behind a tool failed.
        """
        records: list[CallRecord] = []
        states = dict(state.tool_states)
        images, shown = episode_images(state), self.shown_sizes(state)
        before = sum(len(turn.calls) for turn in state.turns)
        for number, parsed in enumerate(calls):
            over = f"at most {self.max_calls} calls are executed per turn" if number >= self.max_calls else ""
            decision = self._ask_gate(judge_call(parsed, self.toolbox, forbidden=over), state, before + number)
            if decision.tool is None:
                record = _refusal(decision)
            else:
                seed = call_seed(state.seed, before + number)
                context = ToolContext(
                    question=state.question,
                    images=images,
                    seed=seed,
                    shown=shown,
                    view_size=self.showing.view_size,
                    background=self.showing.background,
                )
                result, new = self._run(decision, decision.tool, states.get(decision.tool.name), context)
                result = self._captioned(result, len(images))
                if new is not _NO_STATE:
                    states[decision.tool.name] = new
                images += _images(result)
                shown += self.showing.sizes_of_result(result.content)
                record = CallRecord(call=decision.call, outcome=CallOutcome.EXECUTED, result=result)
            records.append(self._told(state, record))
        return tuple(records), tuple(states.items())

    def refuse(self, calls: tuple[ParsedCall, ...], state: EpisodeState, *, reason: str) -> tuple[CallRecord, ...]:
        """Records the calls of a turn that a limit forbids to run."""
        decisions = (judge_call(parsed, self.toolbox, forbidden=reason) for parsed in calls)
        return tuple(self._told(state, _refusal(decision)) for decision in decisions)

    def shown_sizes(self, state: EpisodeState) -> tuple[Size, ...]:
        """The sizes at which the policy was shown `episode_images`."""
        results = (self.showing.sizes_of_result(record.result.content) for turn in state.turns for record in turn.calls)
        return tuple(itertools.chain(self.showing.sizes_of_question(state.question.prompt), *results))

    def _ask_gate(self, decision: Decision, state: EpisodeState, number: int) -> Decision:
        if self.gate is None or decision.tool is None:
            return decision
        request = CallRequest(
            tool=decision.tool, arguments=decision.arguments, call=decision.call, state=state, number=number
        )
        ruling = self.gate(request)
        if not isinstance(ruling, Ruling):
            raise TypeError(f"expected the gate of an environment to return a Ruling; got {ruling!r}")
        if ruling.verdict is Verdict.ALLOW:
            return decision
        denied = ruling.verdict is Verdict.DENY
        default = "this call is not permitted" if denied else "the call is valid; it was not executed"
        return Decision(
            call=decision.call,
            outcome=CallOutcome.WITHHELD,
            status=ToolStatus.DENIED if denied else ToolStatus.DRY_RUN,
            problem=ruling.reason or default,
        )

    def _captioned(self, result: ToolResult, first: int) -> ToolResult:
        if not self.image_caption:
            return result
        return replace(result, content=with_captions(result.content, self.image_caption, first=first))

    def _told(self, state: EpisodeState, record: CallRecord) -> CallRecord:
        if self.audit is not None:
            self.audit(state, record)
        return record

    def _run(self, decision: Decision, tool: Tool, state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """The timed result, and the new state or `_NO_STATE` where the tool keeps none or its state stays."""
        started = time.perf_counter()
        try:
            result, new = _checked(self.toolbox.step(tool, decision.arguments, state, context), state)
        except ToolTimeout as error:
            result, new = ToolResult(status=ToolStatus.TIMEOUT, content=(f"Error: {error}",)), _NO_STATE
        except ToolError as error:
            result, new = ToolResult(status=ToolStatus.ERROR, content=(f"Error: {error}",)), _NO_STATE
        except InfrastructureFault:
            raise
        except Exception as error:
            raise fault_of(tool, decision.call, error) from error
        return replace(result, seconds=time.perf_counter() - started), new


def episode_images(state: EpisodeState) -> tuple[ImageRef, ...]:
    """Every image of the episode so far: those of the question at original size, then those of tool results."""
    results = (image for turn in state.turns for record in turn.calls for image in _images(record.result))
    return (*state.question.images, *results)


def call_seed(seed: int, number: int) -> int:
    """Seed of an episode's call of that number (0-based): 63 bits, the same in every branch that makes the call."""
    # Two rounds of SplitMix64: neighbouring seeds and numbers give unrelated values.
    return _mix(_mix(seed) + number) >> 1


def _mix(value: int) -> int:
    mask = 0xFFFFFFFFFFFFFFFF
    value = (value + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


def _images(result: ToolResult) -> tuple[ImageRef, ...]:
    return tuple(part for part in result.content if isinstance(part, ImageRef))


def _refusal(decision: Decision) -> CallRecord:
    opening = "Dry run" if decision.status is ToolStatus.DRY_RUN else "Error"
    result = ToolResult(status=decision.status, content=(f"{opening}: {decision.problem.rstrip('.')}.",))
    return CallRecord(call=decision.call, outcome=decision.outcome, result=result)


def _checked(returned: Any, state: Any) -> tuple[ToolResult, Any]:
    match returned:
        case (ToolResult() as result, new):
            pass
        case _:
            raise TypeError(f"step must return (ToolResult, new state); got {returned!r}")
    if not isinstance(result.content, tuple) or not all(isinstance(part, str | ImageRef) for part in result.content):
        raise TypeError(f"a result's content must be a tuple of str and ImageRef; got {result.content!r}")
    try:
        check_count(len(_images(result)))
    except ImageProblemError as error:
        raise ToolError(f"the tool's result cannot be shown: {error}") from None
    if new is state:
        return result, _NO_STATE
    if new is None or state is None:
        raise TypeError(f"a tool keeps a state from the start or never; its state went from {state!r} to {new!r}")
    if problem := find_mutable(new):
        raise TypeError(f"its new state: {problem}; {ADVICE}")
    return result, new
