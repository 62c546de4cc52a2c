"""Defines `ZoomGrid`, zooming by number into parts of what is seen, and `Zoom`, where the zoom stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import gymnasium
import numpy as np

from axpo_envs.adapters.sb3._choices import Mask
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.examples import call_turn
from axpo_envs.images import ImageRef, Size
from axpo_envs.imaging.coordinates import PixelBox, pixel_box, written_box
from axpo_envs.imaging.showing import shown_size
from axpo_envs.tools.image_zoom_in import ImageZoomIn
from axpo_envs.types import CallRecord, EpisodeState

_SHORTEST_SIDE: Final = 2.0


class Zoom(NamedTuple):
    """A region of an image as shares of its width and height, 0 to 1."""

    left: float
    """Left edge."""
    top: float
    """Top edge."""
    right: float
    """Right edge."""
    bottom: float
    """Bottom edge."""

    def part(self, inner: Zoom) -> Zoom:
        """A region given as shares of this one."""
        across, down = self.right - self.left, self.bottom - self.top
        return Zoom(
            self.left + inner.left * across,
            self.top + inner.top * down,
            self.left + inner.right * across,
            self.top + inner.bottom * down,
        )


WHOLE: Final = Zoom(0.0, 0.0, 1.0, 1.0)
"""The whole image."""


class ZoomGrid:
    """Zooms into one of `cells` x `cells` overlapping parts of what is seen, row by row.

    They lie evenly from edge to edge, and what stands where two meet lies whole in one of them if it is smaller than
    their overlap. By default they are parts of the region that is seen, so that two zooms into halves show a quarter.

    Args:
        env: the environment, wrapped or not; its zoom tool knows the convention of its boxes.
        cells: parts across and down.
        width: their width and height, as a share of the region's.
        relative: parts of the region seen; otherwise always of the whole image.

    Raises:
        EnvConfigError: the environment has no `image_zoom_in`, a value is out of range, or the parts leave gaps.
    """

    calls_tool: Final = True

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        cells: int = 3,
        width: float = 0.5,
        relative: bool = True,
    ) -> None:
        if cells < 2 or not 0 < width < 1 or width * cells < 1:
            raise EnvConfigError(
                f"zoom grid: expected cells >= 2 and 0 < width < 1 with cells * width >= 1; got {cells} and {width}"
            )
        rules = env.unwrapped
        tool = zoom_tool_of(rules) if isinstance(rules, ToolEnv) else None
        if tool is None or not isinstance(rules, ToolEnv):
            raise EnvConfigError(f"zoom grid: expected an environment with the tool image_zoom_in; got {rules!r}")
        self._tool = tool
        self._view_size = rules.rules.view_size
        self._relative = relative
        starts = np.linspace(0.0, 1.0 - width, cells).tolist()
        self._parts = tuple(Zoom(left, top, left + width, top + width) for top in starts for left in starts)

    def __len__(self) -> int:
        return len(self._parts)

    def turn(self, index: int, state: EpisodeState) -> str:
        """The call that shows the part of that number."""
        if not state.question.images:
            return ""
        original = state.question.images[0].size
        shown = shown_size(original, self._view_size) if self._view_size else original
        zoom = self._target(index, state)
        pixels = PixelBox(
            zoom.left * original.width,
            zoom.top * original.height,
            zoom.right * original.width,
            zoom.bottom * original.height,
        )
        written = written_box(pixels, self._tool.coords, original=original, shown=shown)
        return call_turn(self._tool.name, {"bbox_2d": [round(edge, 4) for edge in written]})

    def allowed(self, state: EpisodeState) -> Mask:
        """Those that are at least two pixels of the original image wide and high."""
        if not state.question.images:
            return np.zeros(len(self), np.bool_)
        original = state.question.images[0].size
        targets = (self._target(index, state) for index in range(len(self)))
        return np.array([_shortest(zoom, original) >= _SHORTEST_SIDE for zoom in targets], np.bool_)

    def _target(self, index: int, state: EpisodeState) -> Zoom:
        seen = zoom_of(state, self._tool, self._view_size) if self._relative else WHOLE
        return (seen or WHOLE).part(self._parts[index])


def zoom_tool_of(env: ToolEnv) -> ImageZoomIn | None:
    """The environment's zoom tool, if it has one."""
    return next((tool for tool in env.tools if isinstance(tool, ImageZoomIn)), None)


def zoom_of(state: EpisodeState, tool: ImageZoomIn, view_size: int | None) -> Zoom | None:
    """Which region of the question's first image the newest image shows; None where it shows none of it.

    Args:
        state: the episode.
        tool: the environment's zoom tool.
        view_size: the environment's view size.
    """
    images = state.question.images
    if not images:
        return None
    # What each image of the episode shows of the first: images are numbered as the tool numbers them.
    zooms: list[Zoom | None] = [WHOLE, *[None] * (len(images) - 1)]
    sizes = [image.size for image in images]
    shown = [shown_size(size, view_size) if view_size else size for size in sizes]
    for record in (call for turn in state.turns for call in turn.calls):
        results = [part for part in record.result.content if isinstance(part, ImageRef)]
        cropped = _cropped(record, tool, zooms, sizes, shown) if record.succeeded else None
        zooms += [cropped] * len(results)
        sizes += [image.size for image in results]
        shown += [image.size for image in results]
    # A question of several images is seen whole until the first crop.
    newest = zooms[-1]
    return newest if len(zooms) > len(images) else WHOLE


def _cropped(
    record: CallRecord, tool: ImageZoomIn, zooms: list[Zoom | None], sizes: list[Size], shown: list[Size]
) -> Zoom | None:
    if record.call.name != tool.name:
        return None
    arguments = tool.validate(_read(record.call.arguments))
    index: int = arguments["img_idx"]
    outer, size = zooms[index], sizes[index]
    if outer is None:
        return None
    box = pixel_box(arguments["bbox_2d"], tool.coords, original=size, shown=shown[index])
    return outer.part(
        Zoom(box.left / size.width, box.top / size.height, box.right / size.width, box.bottom / size.height)
    )


def _read(arguments: str) -> Mapping[str, object]:
    read: Mapping[str, object] = json.loads(arguments)
    return read


def _shortest(zoom: Zoom, original: Size) -> float:
    return min((zoom.right - zoom.left) * original.width, (zoom.bottom - zoom.top) * original.height)
