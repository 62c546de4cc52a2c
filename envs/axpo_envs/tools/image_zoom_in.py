"""Defines the tool `image_zoom_in`: a region of an image, cut from its original pixels and shown at view size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from PIL import Image

from axpo_envs.brief import brief
from axpo_envs.coordinates import Coords, PixelBox, Size, describe, pixel_box
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.tools.arguments import read_integer
from axpo_envs.tools.tool import Effects, ToolArgumentError, ToolContext, ToolError
from axpo_envs.types import Question, ToolResult

CROP_TEXT: Final = "crop"
"""The text before the image of a successful call: constant, so that a small vocabulary can hold it."""

_MID_GREY: Final = 128
_REDUCING_GAP: Final = 3.0
_BOX_NAMES: Final = ("bbox_2d", "bbox")
_ARGUMENTS: Final = frozenset((*_BOX_NAMES, "label", "img_idx"))


class ImageZoomIn:
    """Shows a region of an image larger: the policy names a box, and reads `crop` and an image.

    The region is cut from the original, however small the policy saw it, and scaled to fit a square of `view_size`
    pixels exactly, keeping its aspect ratio; a region that is not square lies in the middle of mid grey. A region
    with fewer pixels than the view is enlarged. Images are numbered from 0: those of the question, then the crops
    shown since, so that a crop can be zoomed into (its pixels are those the policy saw).

    Args:
        view_size: side of the crop as shown, and longer side at which larger originals were shown, in pixels.
        coords: convention of the boxes.

    Raises:
        EnvConfigError: `view_size` is below 1, or `coords` is no convention.
    """

    def __init__(self, *, view_size: int, coords: Coords | str = Coords.REL1000) -> None:
        if view_size < 1:
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
    def view_size(self) -> int:
        """Side of the crop as shown, in pixels."""
        return self._view_size

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
        image = images[index]
        original = Size(image.width, image.height)
        shown = shown_size(original, self._view_size)
        box = pixel_box(arguments["bbox_2d"], self._coords, original=original, shown=shown)
        return ToolResult(content=(CROP_TEXT, crop_to_view(image, box, self._view_size))), state


def shown_size(original: Size, view_size: int) -> Size:
    """The size at which an image is shown: its longer side is `view_size` pixels, or its own length if that is less."""
    longer = max(original)
    if longer <= view_size:
        return original
    return Size(*(max(1, round(side * view_size / longer)) for side in original))


def view_image(image: ImageRef, view_size: int) -> ImageRef:
    """The whole image as shown (see `shown_size`)."""
    original = Size(image.width, image.height)
    shown = shown_size(original, view_size)
    if shown == original:
        return image
    return ImageRef(np.asarray(_resized(image, PixelBox(0, 0, *original), shown)))


def crop_to_view(image: ImageRef, box: PixelBox, view_size: int) -> ImageRef:
    """A region of an image, scaled to fit a square of `view_size` pixels and centred in it on mid grey.

    Args:
        image: the original.
        box: the region, within the image; its edges may lie between pixels.
        view_size: side of the result in pixels.
    """
    scale = view_size / max(box.width, box.height)
    size = Size(max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    crop = np.asarray(_resized(image, box, size))
    if size == (view_size, view_size):
        return ImageRef(crop)
    canvas = np.full((view_size, view_size, 3), _MID_GREY, dtype=np.uint8)
    left, top = (view_size - size.width) // 2, (view_size - size.height) // 2
    canvas[top : top + size.height, left : left + size.width] = crop
    return ImageRef(canvas)


def _resized(image: ImageRef, box: PixelBox, size: Size) -> Image.Image:
    # Pillow's copy of a whole 8K image would cost more than the crop: it is given the pixels that the filter reaches
    # only, one filter radius around the box.
    reach_x = math.ceil(max(1.0, box.width / size.width)) + 1
    reach_y = math.ceil(max(1.0, box.height / size.height)) + 1
    left, top = max(0, math.floor(box.left) - reach_x), max(0, math.floor(box.top) - reach_y)
    right, bottom = math.ceil(box.right) + reach_x, math.ceil(box.bottom) + reach_y
    region = Image.fromarray(np.ascontiguousarray(image.pixels[top:bottom, left:right]))
    # Division may have put an edge a rounding error outside the image, which Pillow refuses.
    inside = (
        box.left - left,
        box.top - top,
        min(box.right - left, region.width),
        min(box.bottom - top, region.height),
    )
    return region.resize(size, Image.Resampling.BILINEAR, box=inside, reducing_gap=_REDUCING_GAP)


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
