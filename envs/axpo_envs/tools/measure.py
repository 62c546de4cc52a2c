"""Defines the tool `measure`: distances, colours and sizes, taken from the original pixels of an image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from axpo_envs.images import ImageRef
from axpo_envs.imaging.colour_names import colour_name
from axpo_envs.imaging.coordinates import Coords, PixelBox, describe_point, pixel_point
from axpo_envs.plumbing.brief import brief
from axpo_envs.tool._arguments import known_arguments, read_numbers
from axpo_envs.tool.marks import Mark, Seen
from axpo_envs.tool.protocol import ToolArgumentError, ToolContext
from axpo_envs.tools._region import (
    BOX,
    BOX_ALIAS,
    RegionTool,
    box_schema,
    index_schema,
    marks_of_region,
    read_region,
    region_of,
)
from axpo_envs.types import Question, ToolResult

SCALE: Final = "km_per_pixel"
"""The column of a question (`Question.extra`) that states the scale of its first image: kilometres that one pixel of
the original spans."""

_LARGEST_SCALE: Final = 1e12


class Measure(RegionTool):
    """Measures an image: the policy names one point, two points or a box, and reads a line of text.

    One point gives the colour of the pixel there; two points their distance; a box its mean colour, its edges and its
    size. All are taken from the original, however small the policy saw it, and lengths are in pixels of the original.
    Of a question whose column `km_per_pixel` states a scale they are in kilometres, too, on its first image alone.
    Images are numbered from 0: those of the question, then those that tools have shown since.

    Args:
        coords: convention of points and boxes.

    Raises:
        EnvConfigError: `coords` is no convention.
    """

    def __init__(self, *, coords: Coords | str = Coords.REL1000) -> None:
        super().__init__(coords)

    @property
    def name(self) -> str:
        """`measure`."""
        return "measure"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return (
            "Measures an image in its original pixels. One point: the colour there. Two points: their distance. A box: "
            "its mean colour and its size. Give either points or bbox_2d."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments; `bbox` is accepted for `bbox_2d`, too."""
        point = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
        return {
            "type": "object",
            "properties": {
                "points": {
                    "type": "array",
                    "items": point,
                    "minItems": 1,
                    "maxItems": 2,
                    "description": f"One or two points, each {describe_point(self._coords)}.",
                },
                "bbox_2d": box_schema(self._coords, "A box"),
                "label": {"type": "string", "description": "What is being measured."},
                "img_idx": index_schema("Number of the image, from 0: the images given, then the crops."),
            },
            "additionalProperties": False,
        }

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"bbox_2d": four floats or None, "img_idx": int}`, without a box also `"points"`, one or two float pairs.

        Whether they lie within the image is checked by `step`.

        Raises:
            ToolArgumentError: a name is unknown, points and box are both given or both missing, or a value has the
                wrong type.
        """
        arguments = known_arguments(arguments, "points", BOX, "label", "img_idx", alias=BOX_ALIAS)
        if not isinstance(arguments.get("label", ""), str):
            raise ToolArgumentError(f"label must be a string; got {brief(arguments['label'])}")
        region = read_region(arguments, box_needed=False)
        box = region["bbox_2d"]
        if (box is None) is ("points" not in arguments):
            raise ToolArgumentError(f"give either points or bbox_2d; got {'neither' if box is None else 'both'}")
        return region if box is not None else {**region, "points": _points(arguments["points"])}

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """The measurement as a line of text.

        Raises:
            ToolError: there is no image of that number, or a point or the box is unusable (see `coordinates`).
        """
        index = arguments["img_idx"]
        image, box = region_of(arguments, self._coords, context)
        scale = _scale(context.question) if index == 0 and context.question.images else None
        if "points" in arguments:
            points = self._pixels(arguments, Seen(original=image.size, shown=context.shown[index]))
            text = _distance(points, scale) if len(points) == 2 else _of_point(image, *points[0])
        else:
            text = _of_box(image, box, scale)
        return ToolResult(content=(text,)), state

    def marks(self, arguments: Mapping[str, Any], images: Sequence[Seen]) -> tuple[Mark, ...]:
        """The points or the box of a call, on the image that it measured."""
        valid = self.validate(arguments)
        if "points" not in valid:
            return marks_of_region(valid, self._coords, images)
        index = valid["img_idx"]
        places = self._pixels(valid, images[index])
        return tuple(Mark(image=index, left=x, top=y, width=0, height=0) for x, y in places)

    def _pixels(self, valid: Mapping[str, Any], seen: Seen) -> tuple[tuple[float, float], ...]:
        return tuple(
            pixel_point(point, self._coords, original=seen.original, shown=seen.shown) for point in valid["points"]
        )


def _points(value: Any) -> tuple[tuple[float, ...], ...]:
    if not isinstance(value, list | tuple) or len(value) not in (1, 2):
        raise ToolArgumentError(f"points must be a list of one or two points, each [x, y]; got {brief(value)}")
    return tuple(read_numbers(point, "each of points", "[x, y]") for point in value)


def _scale(question: Question) -> float | None:
    """The scale that a question states; None for none, or what is no scale."""
    value = question.extra.get(SCALE)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 < value < _LARGEST_SCALE else None


def _of_point(image: ImageRef, x: float, y: float) -> str:
    # The far edges of the image belong to its last pixels.
    column, row = min(int(x), image.width - 1), min(int(y), image.height - 1)
    return f"colour: {_colour(image.pixels[row, column])}; pixel x {column}, y {row}"


def _of_box(image: ImageRef, box: PixelBox, scale: float | None) -> str:
    left, top, right, bottom = (round(box.left), round(box.top), round(box.right), round(box.bottom))
    inside = image.pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    mean = np.rint(inside.reshape(-1, 3).mean(axis=0))
    size = f"{box.width:.1f} x {box.height:.1f} pixels"
    kilometres = "" if scale is None else f", {_km(box.width * scale)} x {_km(box.height * scale)} km"
    edges = f"left {box.left:.1f}, top {box.top:.1f}, right {box.right:.1f}, bottom {box.bottom:.1f}"
    return f"mean colour: {_colour(mean)}; size: {size}{kilometres}; {edges}"


def _distance(points: Sequence[tuple[float, float]], scale: float | None) -> str:
    pixels = math.dist(*points)
    kilometres = "" if scale is None else f", {_km(pixels * scale)} km"
    return f"distance: {pixels:.1f} pixels{kilometres}"


def _colour(levels: npt.NDArray[Any]) -> str:
    red, green, blue = (int(level) for level in levels)
    return f"{colour_name((red, green, blue))}, RGB ({red}, {green}, {blue})"


def _km(kilometres: float) -> str:
    """With 4 digits that count, and without an exponent as far as maps go."""
    return f"{kilometres:.4g}" if kilometres < 10_000 else f"{kilometres:.0f}"
