"""Defines the coordinate conventions in which policies write boxes, and their conversion to and from image pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from axpo_envs.images import Size
from axpo_envs.tool.protocol import ToolError

__all__ = [
    "Coords",
    "PixelBox",
    "Size",
    "describe",
    "describe_point",
    "extent",
    "pixel_box",
    "pixel_point",
    "written_box",
]


class Coords(StrEnum):
    """What the numbers of a box `[x1, y1, x2, y2]` mean. The origin is the image's top left corner in all of them."""

    REL1000 = "rel1000"
    """Thousandths of the image's width and height (Qwen3-VL)."""
    ABS_RESIZED = "abs_resized"
    """Pixels of the image as the environment showed it, which may be smaller than the original (Qwen2.5-VL, verl)."""
    ABS_ORIGINAL = "abs_original"
    """Pixels of the original image (DeepEyes)."""
    NORM1 = "norm1"
    """Shares of the image's width and height, 0 to 1 (pixel-reasoner)."""


class PixelBox(NamedTuple):
    """A box in (fractional) pixels of an original image; pixel (0, 0) covers the square from 0 to 1."""

    left: float
    """Left edge."""
    top: float
    """Top edge."""
    right: float
    """Right edge, greater than `left`."""
    bottom: float
    """Bottom edge, greater than `top`."""

    @property
    def width(self) -> float:
        """Pixels from left to right edge."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from top to bottom edge."""
        return self.bottom - self.top


_UNIT: Final = {
    Coords.REL1000: "thousandths of the image's width and height",
    Coords.ABS_RESIZED: "pixels of the image as shown",
    Coords.ABS_ORIGINAL: "pixels of the original image",
    Coords.NORM1: "shares of the image's width and height",
}

_SHORTEST_SIDE: Final = 1.0
"""Original pixels that a box must span in both directions; less holds nothing to look at."""


def extent(coords: Coords, *, original: Size, shown: Size) -> tuple[float, float]:
    """The largest x and y of a convention: the coordinates of the image's bottom right corner."""
    match coords:
        case Coords.REL1000:
            return 1000.0, 1000.0
        case Coords.ABS_RESIZED:
            return float(shown.width), float(shown.height)
        case Coords.ABS_ORIGINAL:
            return float(original.width), float(original.height)
        case Coords.NORM1:
            return 1.0, 1.0


def describe(coords: Coords) -> str:
    """How to write a box, for the schema of a tool."""
    limits = {Coords.REL1000: ", 0 to 1000", Coords.NORM1: ", 0 to 1"}.get(coords, "")
    return f"[x1, y1, x2, y2]: left, top, right and bottom edge in {_UNIT[coords]}{limits}"


def describe_point(coords: Coords) -> str:
    """How to write a point, for the schema of a tool."""
    limits = {Coords.REL1000: ", 0 to 1000", Coords.NORM1: ", 0 to 1"}.get(coords, "")
    return f"[x, y] in {_UNIT[coords]}{limits}"


def pixel_point(point: Sequence[float], coords: Coords, *, original: Size, shown: Size) -> tuple[float, float]:
    """Converts a point that a policy wrote to pixels of the original image; pixel (0, 0) covers 0 to 1.

    Args:
        point: x, y.
        coords: their convention.
        original: size of the original image.
        shown: size at which the policy saw it.

    Raises:
        ToolError: it is not finite, or lies outside the image; the message is for the policy.
    """
    x, y = (float(value) for value in point)
    text = _written((x, y))
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ToolError(f"the numbers of a point must be finite; got {text}")
    width, height = extent(coords, original=original, shown=shown)
    if not (0 <= x <= width and 0 <= y <= height):
        raise ToolError(f"the point {text} lies outside the image: {_limits(coords, width, height)}")
    return x * original.width / width, y * original.height / height


def pixel_box(box: Sequence[float], coords: Coords, *, original: Size, shown: Size) -> PixelBox:
    """Converts a box that a policy wrote to pixels of the original image.

    Worked value: original 4000 x 2000, shown 1000 x 500. `[100, 100, 300, 200]` is (400, 200, 1200, 400) in
    `rel1000`, (400, 400, 1200, 800) in `abs_resized`, and itself in `abs_original`.

    Args:
        box: x1, y1, x2, y2.
        coords: their convention.
        original: size of the original image.
        shown: size at which the policy saw it.

    Raises:
        ToolError: the box is not finite, reaches outside the image, has swapped edges, is empty, or is less than
            one original pixel wide or high; the message is for the policy.
    """
    values = tuple(float(value) for value in box)
    text = _written(values)
    if len(values) != 4:
        raise ToolError(f"a box has 4 numbers, [x1, y1, x2, y2]; got {len(values)}: {text}")
    if not all(math.isfinite(value) for value in values):
        raise ToolError(f"the numbers of a box must be finite; got {text}")
    x1, y1, x2, y2 = values
    width, height = extent(coords, original=original, shown=shown)
    if min(values) < 0 or max(x1, x2) > width or max(y1, y2) > height:
        raise ToolError(f"the box {text} reaches outside the image: {_limits(coords, width, height)}")
    if x1 >= x2 or y1 >= y2:
        wrong = "x1 < x2" if x1 >= x2 else "y1 < y2"
        kind = "is empty" if x1 == x2 or y1 == y2 else "has swapped edges"
        raise ToolError(f"the box {text} {kind}: [x1, y1, x2, y2] needs {wrong}")
    across, down = original.width / width, original.height / height
    pixels = PixelBox(x1 * across, y1 * down, x2 * across, y2 * down)
    if min(pixels.width, pixels.height) < _SHORTEST_SIDE:
        raise ToolError(
            f"the box {text} is {pixels.width:.2f} x {pixels.height:.2f} pixels of the original image; "
            f"at least {_SHORTEST_SIDE:.0f} x {_SHORTEST_SIDE:.0f} is needed"
        )
    return pixels


def written_box(box: PixelBox, coords: Coords, *, original: Size, shown: Size) -> tuple[float, float, float, float]:
    """The inverse of `pixel_box`: how a policy would write a box of original pixels, unrounded."""
    width, height = extent(coords, original=original, shown=shown)
    across, down = width / original.width, height / original.height
    return box.left * across, box.top * down, box.right * across, box.bottom * down


def _written(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:.10g}' for value in values)}]"


def _limits(coords: Coords, width: float, height: float) -> str:
    return f"x must be 0 to {width:g} and y 0 to {height:g} ({_UNIT[coords]})"
