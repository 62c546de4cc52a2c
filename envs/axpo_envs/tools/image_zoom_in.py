"""Defines the tool `image_zoom_in`: a region of an image, cut from its original pixels and shown at view size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.coordinates import Coords, PixelBox, Size, describe, pixel_box
from axpo_envs.imaging.showing import resized, shown_size, view_image
from axpo_envs.plumbing.brief import brief
from axpo_envs.tool._arguments import read_integer
from axpo_envs.tool.marks import Mark, Seen
from axpo_envs.tool.protocol import Effects, ToolArgumentError, ToolContext, ToolError
from axpo_envs.types import Question, ToolResult

__all__ = ["CROP_TEXT", "ImageZoomIn", "crop_to_view", "shown_size", "view_image"]

CROP_TEXT: Final = "crop"
"""The text before the image of a successful call: constant, so that a small vocabulary can hold it."""

_MID_GREY: Final = 128
_BOX_NAMES: Final = ("bbox_2d", "bbox")
_ARGUMENTS: Final = frozenset((*_BOX_NAMES, "label", "img_idx"))


class ImageZoomIn:
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
        if coords not in tuple(Coords):
            raise EnvConfigError(f"coords must be one of {', '.join(Coords)}; got {coords!r}")
        self._view_size = view_size
        self._coords = Coords(coords)

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
                "bbox_2d": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 4,
                    "maxItems": 4,
                    "description": f"The region as {describe(self._coords)}.",
                },
                "img_idx": {
                    "type": "integer",
                    "minimum": 0,
                    "default": 0,
                    "description": "Number of the image to zoom into, from 0: the images given, then the crops.",
                },
            },
            "required": ["bbox_2d"],
            "additionalProperties": False,
        }

    @property
    def effects(self) -> Effects:
        """Pure: the crop depends on the box and the images alone."""
        return Effects.PURE

    @property
    def timeout_s(self) -> float | None:
        """None: a crop takes a fraction of a millisecond."""
        return None

    @property
    def coords(self) -> Coords:
        """Convention of the boxes."""
        return self._coords

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
        if unknown := sorted(set(arguments) - _ARGUMENTS):
            raise ToolArgumentError(f"unknown argument {unknown[0]!r}; known are bbox_2d, label and img_idx")
        given = [name for name in _BOX_NAMES if name in arguments]
        if len(given) != 1:
            raise ToolArgumentError("bbox_2d is given twice" if given else "bbox_2d is missing")
        if not isinstance(arguments.get("label", ""), str):
            raise ToolArgumentError(f"label must be a string; got {brief(arguments['label'])}")
        index = read_integer(arguments, "img_idx", default=0, at_least=0)
        return {"bbox_2d": _four_numbers(arguments[given[0]]), "img_idx": index}

    def initial_state(self, question: Question) -> None:
        """It keeps no state."""
        del question

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """The crop as shown.

        Raises:
            ToolError: there is no image of that number, or the box is unusable (see `coordinates.pixel_box`).
        """
        images, index = context.images, arguments["img_idx"]
        if index >= len(images):
            allowed = f"img_idx must be 0 to {len(images) - 1}" if images else "there is no image"
            raise ToolError(f"there is no image number {index}: {allowed}")
        image, shown = images[index], context.shown[index]
        box = pixel_box(arguments["bbox_2d"], self._coords, original=image.size, shown=shown)
        side = self._view_size or context.view_size or max(shown)
        return ToolResult(content=(CROP_TEXT, crop_to_view(image, box, side))), state

    def marks(self, arguments: Mapping[str, Any], images: Sequence[Seen]) -> tuple[Mark, ...]:
        """The box of a call, on the image that it zoomed into."""
        valid = self.validate(arguments)
        seen = images[valid["img_idx"]]
        box = pixel_box(valid["bbox_2d"], self._coords, original=seen.original, shown=seen.shown)
        mark = Mark(image=valid["img_idx"], left=box.left, top=box.top, width=box.width, height=box.height)
        return (mark,)


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


def _four_numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise ToolArgumentError(f"bbox_2d must be a list of 4 numbers, [x1, y1, x2, y2]; got {brief(value)}")
    for number in value:
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise ToolArgumentError(f"bbox_2d must hold numbers; got {brief(number)}")
    try:
        return tuple(float(number) for number in value)
    except OverflowError:
        raise ToolArgumentError("bbox_2d holds a number too large to be a coordinate") from None
