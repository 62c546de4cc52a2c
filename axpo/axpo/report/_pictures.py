"""Defines the pictures of a page: saved images, reduced and packed into it, with the boxes that calls asked for."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from axpo.records._rollout_log import read_image
from axpo.records._rollout_records import SavedCall, SavedImage, SavedRollout
from axpo_envs.imaging.coordinates import Coords, PixelBox, Size, pixel_box
from axpo_envs.plumbing.strict_json import read_json
from axpo_envs.tool.protocol import ToolError
from axpo_envs.types import CallOutcome

LONGER_SIDE: Final = 384
"""Pixels to which larger images are reduced."""

LOSSLESS_SIDE: Final = 128
"""Images up to this size are kept as they are, and drawn with visible pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A region drawn on a picture, in the picture's pixels."""

    x: float
    """Left edge."""
    y: float
    """Top edge."""
    width: float
    """Pixels from left to right edge."""
    height: float
    """Pixels from top to bottom edge."""
    label: str
    """What stands beside it: the number of the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image of a page, with the regions that calls asked for."""

    source: str
    """`data:` URI."""
    width: int
    """Width in pixels, after reduction."""
    height: int
    """Height in pixels, after reduction."""
    boxes: tuple[Box, ...] = ()
    """Regions drawn on it."""

    @property
    def pixelated(self) -> bool:
        """Small enough to be shown with visible pixels."""
        return max(self.width, self.height) <= LOSSLESS_SIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Album:
    """Where a run's rollouts are saved, and how they are to be read."""

    rollouts: Path
    """The run's `rollouts` folder."""
    coords: Coords = Coords.REL1000
    """Convention of the boxes in its calls."""
    success_threshold: float = 0.5
    """A rollout with a reward below it is wrong."""

    def correct(self, rollout: SavedRollout) -> bool:
        """Whether its reward counts as a success."""
        return rollout.reward >= self.success_threshold


class Drawing:
    """An image on which boxes are being drawn.

    Args:
        image: a saved image.
        shown: the size at which the policy saw it; by default its own.
    """

    def __init__(self, image: SavedImage, shown: SavedImage | None = None) -> None:
        self._image = image
        self._size = Size(image.width, image.height)
        self._shown = self._size if shown is None else Size(shown.width, shown.height)
        self._boxes: list[tuple[PixelBox, str]] = []

    def add(self, corners: Any, label: str, coords: Coords) -> None:
        """Draws a box as a policy wrote it.

        Raises:
            ToolError, TypeError, ValueError: it is no usable box of this image.
        """
        self._boxes.append((pixel_box(corners, coords, original=self._size, shown=self._shown), label))

    def picture(self, album: Album, step: int) -> Picture:
        """The image, reduced to `LONGER_SIDE`, and its boxes in the pixels that are left.

        Raises:
            OSError: the image is missing or cannot be read.
        """
        image = read_image(album.rollouts, step, self._image).to_pil()
        lossless = max(image.size) <= LOSSLESS_SIDE
        image.thumbnail((LONGER_SIDE, LONGER_SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, format="PNG" if lossless else "JPEG", quality=85)
        kind, content = "png" if lossless else "jpeg", base64.b64encode(buffer.getvalue()).decode()
        scale = image.width / self._size.width
        return Picture(
            source=f"data:image/{kind};base64,{content}",
            width=image.width,
            height=image.height,
            boxes=tuple(_scaled(box, scale, label) for box, label in self._boxes),
        )


def draw_box(call: SavedCall, label: str, drawings: Sequence[Drawing], coords: Coords) -> None:
    """Draws the box of an executed call on the image it refers to; a call without a usable box draws nothing.

    Args:
        call: the call.
        label: what stands beside the box.
        drawings: the images so far, in the order in which `img_idx` numbers them.
        coords: convention of the box.
    """
    if call.outcome is not CallOutcome.EXECUTED:
        return
    # Other tools have other arguments, and a policy may write anything: no box is no error.
    with suppress(ValueError, TypeError, LookupError, AttributeError, ToolError):
        arguments = read_json(call.arguments)
        corners = arguments["bbox_2d"] if "bbox_2d" in arguments else arguments["bbox"]
        drawings[arguments.get("img_idx", 0)].add(corners, label, coords)


def _scaled(box: PixelBox, scale: float, label: str) -> Box:
    return Box(
        x=round(box.left * scale, 2),
        y=round(box.top * scale, 2),
        width=round(box.width * scale, 2),
        height=round(box.height * scale, 2),
        label=label,
    )
