"""Defines how tools read which image of an episode, and which box of it, a call means, and `RegionTool`, their base."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.coordinates import Coords, PixelBox, describe, pixel_box
from axpo_envs.tool._arguments import read_integer, read_numbers
from axpo_envs.tool.marks import Mark, Seen
from axpo_envs.tool.protocol import Effects, ToolArgumentError, ToolContext, ToolError
from axpo_envs.types import Question

BOX: Final = "bbox_2d"
"""What schemas call a box."""
BOX_ALIAS: Final = "bbox"
"""What policies may call it, too."""


class RegionTool(ABC):
    """What the tools that look at a region of an image have in common: pure, without state, quick.

    Args:
        coords: convention of boxes and points.

    Raises:
        EnvConfigError: it is none.
    """

    def __init__(self, coords: Coords | str) -> None:
        self._coords = checked_coords(coords)

    @abstractmethod
    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a call as they are used; at least those that `read_region` gives."""

    @property
    def coords(self) -> Coords:
        """Convention of boxes and points."""
        return self._coords

    @property
    def effects(self) -> Effects:
        """Pure: the result depends on the arguments and the images alone."""
        return Effects.PURE

    @property
    def timeout_s(self) -> float | None:
        """None: the size of what is looked at is bounded."""
        return None

    def initial_state(self, question: Question) -> None:
        """It keeps no state."""
        del question

    def marks(self, arguments: Mapping[str, Any], images: Sequence[Seen]) -> tuple[Mark, ...]:
        """The region that a call means, on its image."""
        return marks_of_region(self.validate(arguments), self._coords, images)


def box_schema(coords: Coords, what: str) -> dict[str, Any]:
    """JSON schema of a box.

    Args:
        coords: its convention.
        what: what the box is, as the beginning of a sentence.
    """
    return {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 4,
        "maxItems": 4,
        "description": f"{what} as {describe(coords)}.",
    }


def index_schema(description: str) -> dict[str, Any]:
    """JSON schema of an image's number."""
    return {"type": "integer", "minimum": 0, "default": 0, "description": description}


def read_region(arguments: Mapping[str, Any], *, box_needed: bool) -> dict[str, Any]:
    """`{"bbox_2d": four floats or None, "img_idx": int}`; whether they lie within an image is not checked.

    Raises:
        ToolArgumentError: the box is given twice or is needed and missing, or a value has the wrong type.
    """
    given = [name for name in (BOX, BOX_ALIAS) if name in arguments]
    if len(given) > 1 or (box_needed and not given):
        raise ToolArgumentError("bbox_2d is given twice" if given else "bbox_2d is missing")
    box = four_numbers(arguments[given[0]]) if given else None
    return {"bbox_2d": box, "img_idx": read_integer(arguments, "img_idx", default=0, at_least=0)}


def region_of(valid: Mapping[str, Any], coords: Coords, context: ToolContext) -> tuple[ImageRef, PixelBox]:
    """The image that a call means, and the box in its original pixels: the whole of it where the call gives none.

    Raises:
        ToolError: there is no image of that number, or the box is unusable (see `coordinates.pixel_box`).
    """
    images, index = context.images, valid["img_idx"]
    if index >= len(images):
        allowed = f"img_idx must be 0 to {len(images) - 1}" if images else "there is no image"
        raise ToolError(f"there is no image number {index}: {allowed}")
    image = images[index]
    return image, _pixels(valid, coords, Seen(original=image.size, shown=context.shown[index]))


def marks_of_region(valid: Mapping[str, Any], coords: Coords, images: Sequence[Seen]) -> tuple[Mark, ...]:
    """The box of a call, on the image that it means; the whole image where the call gives none."""
    box = _pixels(valid, coords, images[valid["img_idx"]])
    return (Mark(image=valid["img_idx"], left=box.left, top=box.top, width=box.width, height=box.height),)


def cropped(image: ImageRef, box: PixelBox) -> ImageRef:
    """A region of an image in its own pixels, every pixel that the box touches."""
    if box == (0, 0, *image.size):
        return image
    left, top = math.floor(box.left), math.floor(box.top)
    # Division may have put an edge a rounding error outside the image, which slicing forgives.
    return ImageRef(image.pixels[top : math.ceil(box.bottom), left : math.ceil(box.right)].copy())


def four_numbers(value: Any) -> tuple[float, ...]:
    """A box as it is read from JSON.

    Raises:
        ToolArgumentError: it is none.
    """
    return read_numbers(value, BOX, "[x1, y1, x2, y2]")


def _pixels(valid: Mapping[str, Any], coords: Coords, seen: Seen) -> PixelBox:
    if valid["bbox_2d"] is None:
        return PixelBox(0, 0, *seen.original)
    return pixel_box(valid["bbox_2d"], coords, original=seen.original, shown=seen.shown)


def checked_coords(coords: Coords | str) -> Coords:
    """A convention of boxes.

    Raises:
        EnvConfigError: it is none.
    """
    if coords not in tuple(Coords):
        raise EnvConfigError(f"coords must be one of {', '.join(Coords)}; got {coords!r}")
    return Coords(coords)
