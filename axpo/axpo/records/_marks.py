"""Defines `marks_of`: the regions of images that a rollout's calls asked for, as their tools say."""

from __future__ import annotations

from collections.abc import Sequence

from axpo_agents.types import Rollout
from axpo_envs.images import ImageRef
from axpo_envs.tool.marks import Mark, Seen, marks_of_calls
from axpo_envs.tool.protocol import Tool


def marks_of(rollout: Rollout, tools: Sequence[Tool]) -> tuple[tuple[Mark, ...], ...]:
    """The marks of each call, in order; none of one that was not executed, or whose tool draws nothing."""
    calls = rollout.episode.calls
    results = (part for call in calls for part in call.result.content if isinstance(part, ImageRef))
    seen = (Seen(original=image.size, shown=image.size) for image in results)
    return marks_of_calls(calls, tools, (*_question_images(rollout), *seen))


def _question_images(rollout: Rollout) -> list[Seen]:
    images = rollout.episode.question.images
    shown = rollout.completions[0].context.images if rollout.completions else images
    pairs = zip(images, shown or images, strict=False)
    return [Seen(original=image.size, shown=seen.size) for image, seen in pairs]
