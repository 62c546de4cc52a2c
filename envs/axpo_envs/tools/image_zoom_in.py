"""Defines the tool `image_zoom_in`: a region of an image, cut from its original pixels and shown at view size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.coordinates import Coords, PixelBox, Size
from axpo_envs.imaging.showing import resized, shown_size, view_image
from axpo_envs.plumbing.brief import brief
from axpo_envs.tool._arguments import known_arguments
from axpo_envs.tool.protocol import ToolArgumentError, ToolContext
from axpo_envs.tools._region import (
    BOX,
    BOX_ALIAS,
    RegionTool,
    box_schema,
    index_schema,
    read_region,
    region_of,
)
from axpo_envs.types import ToolResult

__all__ = ["CROP_TEXT", "ImageZoomIn", "crop_to_view", "shown_size", "view_image"]

CROP_TEXT: Final = "crop"
"""The text before the image of a successful call: constant, so that a small vocabulary can hold it."""

_MID_GREY: Final = 128
_IMAGES: Final = "Number of the image to zoom into, from 0: the images given, then the crops."


class ImageZoomIn(RegionTool):
    """Shows a region of an image larger: the policy names a box, and reads `crop` and an image.

    The region is cut from the original, however small the policy saw it, and scaled to fit a square of the view's size
    exactly, keeping its aspect ratio; a region that is not square lies in the middle of mid grey. A region with fewer
    pixels than the view is enlarged. Images are numbered from 0: those of the question, then those that tools have
    shown since, so that a crop can be zoomed into. At which size each of them was shown, the environment knows.

    Args:
        view_size: side of the crops in pixels; None takes the environment's view size. One that contradicts the
            environment's is refused when the environment is made.
        coords: convention of the boxes.

    Raises:
        EnvConfigError: `view_size` is below 1, or `coords` is no convention.
    """

    def __init__(self, *, view_size: int | None = None, coords: Coords | str = Coords.REL1000) -> None:
        if view_size is not None and view_size < 1:
            raise EnvConfigError(f"view_size must be at least 1 pixel; got {view_size}")
        self._view_size = view_size
        super().__init__(coords)

    @property
    def name(self) -> str:
        """`image_zoom_in`."""
        return "image_zoom_in"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return "Zooms into a region of an image and shows that region larger, with all the detail of the original."

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments; `bbox` is accepted for `bbox_2d`, too."""
        return {
            "type": "object",
            "properties": {
                "label": {"type": "string", "description": "What is being looked for in the region."},
                "bbox_2d": box_schema(self._coords, "The region"),
                "img_idx": index_schema(_IMAGES),
            },
            "required": ["bbox_2d"],
            "additionalProperties": False,
        }

    @property
    def view_size(self) -> int | None:
        """Side of the crops in pixels; None for the environment's view size."""
        return self._view_size

    @property
    def fingerprint(self) -> str:
        """Identifies what its results depend on besides its description."""
        return f"crops of view_size={self._view_size}"

    def check_view(self, view_size: int | None) -> None:
        """Holds it to an environment's view size.

        Raises:
            EnvConfigError: both have one and they differ, or neither has.
        """
        if self._view_size is None and view_size is None:
            raise EnvConfigError("tools: image_zoom_in needs view_size, the size at which images and crops are shown")
        if None not in (self._view_size, view_size) and self._view_size != view_size:
            raise EnvConfigError(
                f"tools: image_zoom_in has view_size={self._view_size}, its environment view_size={view_size}; leave "
                "the tool's out"
            )

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"bbox_2d": four floats, "img_idx": int}`; whether they lie within the image is checked by `step`.

        Raises:
            ToolArgumentError: a name is unknown, the box is missing, or a value has the wrong type.
        """
        arguments = known_arguments(arguments, BOX, "label", "img_idx", alias=BOX_ALIAS)
        if not isinstance(arguments.get("label", ""), str):
            raise ToolArgumentError(f"label must be a string; got {brief(arguments['label'])}")
        return read_region(arguments, box_needed=True)

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """The crop as shown.

        Raises:
            ToolError: there is no image of that number, or the box is unusable (see `coordinates.pixel_box`).
        """
        image, box = region_of(arguments, self._coords, context)
        side = self._view_size or context.view_size or max(context.shown[arguments["img_idx"]])
        return ToolResult(content=(CROP_TEXT, crop_to_view(image, box, side))), state


def crop_to_view(image: ImageRef, box: PixelBox, view_size: int) -> ImageRef:
    """A region of an image, scaled to fit a square of `view_size` pixels and centred in it on mid grey.

    Args:
        image: the original.
        box: the region, within the image; its edges may lie between pixels.
        view_size: side of the result in pixels.
    """
    scale = view_size / max(box.width, box.height)
    size = Size(max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    crop = np.asarray(resized(image, box, size))
    if size == (view_size, view_size):
        return ImageRef(crop)
    canvas = np.full((view_size, view_size, 3), _MID_GREY, dtype=np.uint8)
    left, top = (view_size - size.width) // 2, (view_size - size.height) // 2
    canvas[top : top + size.height, left : left + size.width] = crop
    return ImageRef(canvas)
