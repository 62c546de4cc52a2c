"""Defines `Moment`, what is shown of an episode, and its pictures: images with the regions that calls asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from axpo_envs.engine._execution import episode_images
from axpo_envs.images import ImageRef, Size
from axpo_envs.tool.marks import Mark, Seen, marks_of_calls
from axpo_envs.tool.protocol import Tool
from axpo_envs.types import EpisodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One state of an episode, as it is shown to people."""

    title: str
    """The environment's id."""
    state: EpisodeState
    """The state."""
    shown: tuple[Size, ...]
    """The sizes at which the policy saw the episode's images."""
    tools: tuple[Tool, ...]
    """The environment's tools, which say how their calls are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image of an episode."""

    number: int
    """From 0, as calls refer to it."""
    image: ImageRef
    """The original."""
    marks: tuple[tuple[int, Mark], ...]
    """(number of the call from 1, region) of the calls that looked at it."""
    recent: bool
    """It belongs to the last turn (before the first: to the question), or a call of that turn looked at it."""


def pictures_of(moment: Moment) -> tuple[Picture, ...]:
    """Every image of the episode, those of the question first."""
    state = moment.state
    images = episode_images(state)
    calls = [call for turn in state.turns for call in turn.calls]
    seen = [Seen(original=image.size, shown=size) for image, size in zip(images, moment.shown, strict=True)]
    marks: dict[int, list[tuple[int, Mark]]] = {}
    for number, found in enumerate(marks_of_calls(calls, moment.tools, seen), start=1):
        for mark in found:
            if all(map(math.isfinite, (mark.left, mark.top, mark.width, mark.height))):
                marks.setdefault(mark.image, []).append((number, mark))
    last = state.turns[-1].calls if state.turns else ()
    newest = len(calls) - len(last)
    old = len(images) - sum(isinstance(part, ImageRef) for call in last for part in call.result.content)
    old = old if state.turns else 0
    return tuple(
        Picture(
            number=number,
            image=image,
            marks=tuple(marks.get(number, ())),
            recent=number >= old or any(call > newest for call, _ in marks.get(number, ())),
        )
        for number, image in enumerate(images)
    )
