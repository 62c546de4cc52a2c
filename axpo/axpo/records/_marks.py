"""Defines `marks_of`: the regions of images that a rollout's calls asked for, as their tools say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from axpo_agents.types import Rollout
from axpo_envs.images import ImageRef
from axpo_envs.plumbing.strict_json import read_json
from axpo_envs.tool.marks import Mark, MarkingTool, Seen
from axpo_envs.tool.protocol import Tool, ToolError
from axpo_envs.types import CallOutcome, CallRecord


def marks_of(rollout: Rollout, tools: Sequence[Tool]) -> tuple[tuple[Mark, ...], ...]:
    """The marks of each call, in order; none of one that was not executed, or whose tool draws nothing."""
    marking = {tool.name: tool for tool in tools if isinstance(tool, MarkingTool)}
    if not marking:
        return ()
    images = _question_images(rollout)
    marks = []
    for call in rollout.episode.calls:
        marks.append(_marks(call, marking, images))
        results = (part for part in call.result.content if isinstance(part, ImageRef))
        images += (Seen(original=image.size, shown=image.size) for image in results)
    return tuple(marks)


def _question_images(rollout: Rollout) -> list[Seen]:
    images = rollout.episode.question.images
    shown = rollout.completions[0].context.images if rollout.completions else images
    pairs = zip(images, shown or images, strict=False)
    return [Seen(original=image.size, shown=seen.size) for image, seen in pairs]


def _marks(call: CallRecord, tools: Mapping[str, MarkingTool], images: Sequence[Seen]) -> tuple[Mark, ...]:
    tool = tools.get(call.call.name)
    if tool is None or call.outcome is not CallOutcome.EXECUTED:
        return ()
    # A policy may write anything: no region is no error.
    with suppress(ValueError, TypeError, LookupError, AttributeError, ToolError):
        return tuple(mark for mark in tool.marks(read_json(call.call.arguments), images) if mark.image < len(images))
    return ()
