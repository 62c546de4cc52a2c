"""Defines the one place through which every tool call passes: decide whether it may run, run it, record it.

| the call | outcome | status | the tool's state |
|---|---|---|---|
| cannot be read (see `axpo_envs.parsing`) | `MALFORMED` or `UNCLOSED` | `ERROR` | stays |
| names no tool of the environment | `UNKNOWN_TOOL` | `ERROR` | stays |
| does not fit the tool's schema | `INVALID_ARGUMENTS` | `ERROR` | stays |
| cannot be checked within the tool's time limit | `INVALID_ARGUMENTS` | `TIMEOUT` | stays |
| fits, but a limit forbids it | `OVER_LIMIT` | `DENIED` | stays |
| is ready to run, and the gate withholds it | `WITHHELD` | `DENIED` or `DRY_RUN` | stays |
| is to run dry, and its tool tells that it would fail | `WITHHELD` | `ERROR` | stays |
| may run, but cannot be recorded | `WITHHELD` | `DENIED` | stays |
| runs, and the tool raises `ToolError` | `EXECUTED` | `ERROR` | stays |
| runs past the tool's time limit | `EXECUTED` | `TIMEOUT` | stays |
| runs to its end | `EXECUTED` | as the tool says | as the tool says |
| makes the tool raise anything else | `ToolFault` (`InfrastructureFault` passes unchanged) | | |
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from axpo_envs.engine._frozen import ADVICE, find_mutable
from axpo_envs.engine._judging import Decision, fault_of, judge_call
from axpo_envs.engine._ruling import Moment, executed, refusal, rule_on
from axpo_envs.engine._toolbox import Toolbox, ToolStates
from axpo_envs.errors import InfrastructureFault
from axpo_envs.gate import Audit, CallLog, Gate, Ruling, UnrecordedError
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
    log: CallLog | None = None
    """Records every decision, before a call runs."""
    agent: str = ""
    """Who calls, in a team."""
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
        before = _calls_before(state)
        for number, parsed in enumerate(calls):
            over = f"at most {self.max_calls} calls are executed per turn" if number >= self.max_calls else ""
            judged = judge_call(parsed, self.toolbox, forbidden=over)
            moment = Moment(
                state=state,
                number=before + number,
                earlier=tuple(records),
                tool_states=states,
                agent=self.agent,
            )
            decision, ruling = rule_on(judged, self.gate, moment)
            if decision.tool is None:
                record = self._withhold(decision, ruling, moment)
            else:
                context = ToolContext(
                    question=state.question,
                    images=images,
                    seed=call_seed(state.seed, before + number),
                    shown=shown,
                    view_size=self.showing.view_size,
                    background=self.showing.background,
                )
                record, new = self._let_run(decision, ruling, moment, context)
                if new is not _NO_STATE:
                    states[decision.tool.name] = new
                images += _images(record.result)
                shown += self.showing.sizes_of_result(record.result.content)
            records.append(self._told(state, record))
        return tuple(records), tuple(states.items())

    def refuse(self, calls: tuple[ParsedCall, ...], state: EpisodeState, *, reason: str) -> tuple[CallRecord, ...]:
        """Records the calls of a turn that a limit forbids to run."""
        records: list[CallRecord] = []
        before = _calls_before(state)
        for number, parsed in enumerate(calls):
            judged = judge_call(parsed, self.toolbox, forbidden=reason)
            moment = Moment(
                state=state,
                number=before + number,
                earlier=tuple(records),
                tool_states=dict(state.tool_states),
                agent=self.agent,
            )
            records.append(self._told(state, self._withhold(judged, None, moment)))
        return tuple(records)

    def shown_sizes(self, state: EpisodeState) -> tuple[Size, ...]:
        """The sizes at which the policy was shown `episode_images`."""
        results = (self.showing.sizes_of_result(record.result.content) for turn in state.turns for record in turn.calls)
        return tuple(itertools.chain(self.showing.sizes_of_question(state.question.prompt), *results))

    def _withhold(self, decision: Decision, ruling: Ruling | None, moment: Moment) -> CallRecord:
        record = refusal(decision, ruling, self.agent)
        if self.log is not None:
            try:
                self.log.decided(moment.decided(decision, ruling), record)
            except UnrecordedError as error:
                record = _unrecorded(decision, ruling, self.agent, error)
        return _ended(ruling, record)

    def _let_run(
        self, decision: Decision, ruling: Ruling | None, moment: Moment, context: ToolContext
    ) -> tuple[CallRecord, Any]:
        """The record of a call that may run, and its tool's new state or `_NO_STATE`."""
        tool = decision.tool
        assert tool is not None
        close: Callable[[CallRecord | BaseException], None] = _nobody
        if self.log is not None:
            try:
                close = self.log.decided(moment.decided(decision, ruling), None)
            except UnrecordedError as error:
                return _ended(ruling, _unrecorded(decision, ruling, self.agent, error)), _NO_STATE
        try:
            result, new = self._run(decision, tool, moment.tool_states.get(tool.name), context)
        except BaseException as error:
            close(error)
            raise
        record = executed(decision, ruling, self._captioned(result, len(context.images)), self.agent)
        close(record)
        return _ended(ruling, record), new

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


def _calls_before(state: EpisodeState) -> int:
    return sum(len(turn.calls) for turn in state.turns)


def _ended(ruling: Ruling | None, record: CallRecord) -> CallRecord:
    for told in () if ruling is None else ruling.ended:
        told(record)
    return record


def _unrecorded(decision: Decision, ruling: Ruling | None, agent: str, error: UnrecordedError) -> CallRecord:
    denied = ToolStatus.DENIED
    return refusal(
        replace(decision, outcome=CallOutcome.WITHHELD, tool=None, status=denied, problem=str(error)), ruling, agent
    )


def _nobody(end: CallRecord | BaseException) -> None:
    del end


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
