"""Defines `MarkingTool`, a tool that says how its calls are drawn, and `Mark`: a region that a call asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from axpo_envs.images import ImageRef, Size
from axpo_envs.plumbing.strict_json import read_json
from axpo_envs.tool.protocol import Tool, ToolError
from axpo_envs.types import CallOutcome, CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An image of an episode, as a call may refer to it."""

    original: Size
    """Its size in pixels."""
    shown: Size
    """The size at which the policy saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A region of an image, in its original pixels."""

    image: int
    """Which image: those of the question come first, then those that tools returned, in order."""
    left: float
    """Left edge."""
    top: float
    """Top edge."""
    width: float
    """From left to right edge; 0 for a point."""
    height: float
    """From top to bottom edge; 0 for a point."""
    label: str = ""
    """What stands beside it; by default the number of the call."""


@runtime_checkable
class MarkingTool(Protocol):
    """A tool whose calls refer to regions of images."""

    def marks(self, arguments: Mapping[str, Any], images: Sequence[Seen]) -> Sequence[Mark]:
        """The regions of a call that was executed.

        Args:
            arguments: the call's, as written: checked by nobody.
            images: the episode's so far.

        Raises:
            ToolError, ValueError, TypeError, LookupError: the arguments name no region; nothing is drawn.
        """
        ...


def marks_of_calls(
    calls: Sequence[CallRecord], tools: Iterable[Tool], images: Sequence[Seen]
) -> tuple[tuple[Mark, ...], ...]:
    """The marks of each call of an episode, in order; none of one that was not executed or whose tool draws nothing.

    Args:
        calls: every call of the episode.
        tools: the environment's.
        images: every image of the episode: those of the question, then those that these calls returned.

    Returns:
        As many as there are calls, or nothing at all where no tool draws.
    """
    marking = {tool.name: tool for tool in tools if isinstance(tool, MarkingTool)}
    if not marking:
        return ()
    returned = [sum(isinstance(part, ImageRef) for part in call.result.content) for call in calls]
    known = len(images) - sum(returned)
    marks = []
    for call, count in zip(calls, returned, strict=True):
        marks.append(_marks_of(call, marking.get(call.call.name), images[:known]))
        known += count
    return tuple(marks)


def _marks_of(call: CallRecord, tool: MarkingTool | None, images: Sequence[Seen]) -> tuple[Mark, ...]:
    if tool is None or call.outcome is not CallOutcome.EXECUTED:
        return ()
    # A policy may write anything: no region is no error.
    with suppress(ValueError, TypeError, LookupError, AttributeError, ToolError):
        marks = tool.marks(read_json(call.call.arguments), images)
        return tuple(mark for mark in marks if 0 <= mark.image < len(images))
    return ()
