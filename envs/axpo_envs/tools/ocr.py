"""Defines the tool `ocr`, which reads the text of an image or of a box of it (extra `ocr`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.imaging.coordinates import Coords, PixelBox, describe, extent, written_box
from axpo_envs.plumbing.brief import brief
from axpo_envs.tool._arguments import known_arguments
from axpo_envs.tool.marks import Seen
from axpo_envs.tool.protocol import ToolArgumentError, ToolContext
from axpo_envs.tools._region import (
    BOX,
    BOX_ALIAS,
    RegionTool,
    box_schema,
    cropped,
    index_schema,
    read_region,
    region_of,
)
from axpo_envs.tools._text_reader import ReadText, read_text, reader_fingerprint, require_reader
from axpo_envs.types import ToolResult

MAX_PIECES: Final = 200
"""Lines or words of one result; what is more is counted."""

_PIECE_CHARS: Final = 500
_LEAST_SIDE: Final = 32
_IMAGES: Final = "Number of the image to read, from 0: the images given, then those that tools returned."


class Ocr(RegionTool):
    """Reads text: the policy names an image and, if it likes, a box of it, and reads each line with its box.

    So a policy without eyes learns what stands where, and one with eyes what it cannot make out. Boxes are those of the
    whole image, in the tool's convention, so that a line's box can be given to `image_zoom_in`, or to this tool again:
    a box is cut from the original pixels, and what is larger than `longest_side` is read in reduced size. Images are
    numbered from 0: those of the question, then those that tools have shown since.

    The models are RapidOCR's; they are loaded by the first call. They run on one thread, for one image at a time in
    each process; equal images are read equally on one machine.

    Args:
        coords: convention of the boxes.
        least_confidence: lines and words of less are left out, 0 to 1.
        longest_side: longer side in pixels of what the models read, at least 32; its square tells what a call costs.

    Raises:
        EnvConfigError: `coords` is no convention, or a number is out of range.
        MissingExtraError: the extra `ocr` is not installed.
    """

    def __init__(
        self, *, coords: Coords | str = Coords.REL1000, least_confidence: float = 0.5, longest_side: int = 1280
    ) -> None:
        if not 0 <= least_confidence <= 1:
            raise EnvConfigError(f"least_confidence must be from 0 to 1; got {least_confidence}")
        if longest_side < _LEAST_SIDE:
            raise EnvConfigError(f"longest_side must be at least {_LEAST_SIDE} pixels; got {longest_side}")
        super().__init__(coords)
        self._least_confidence = float(least_confidence)
        self._longest_side = longest_side
        require_reader()

    @property
    def name(self) -> str:
        """`ocr`."""
        return "ocr"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        unit = describe(self._coords)
        return f"Reads the text in an image or in a region of it: every line with its box, {unit}, and a confidence."

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments; `bbox` is accepted for `bbox_2d`, too."""
        return {
            "type": "object",
            "properties": {
                "img_idx": index_schema(_IMAGES),
                "bbox_2d": box_schema(self._coords, "The region to read; the whole image where it is left out,"),
                "words": {
                    "type": "boolean",
                    "default": False,
                    "description": "Give a box for every word instead of every line.",
                },
            },
            "required": [],
            "additionalProperties": False,
        }

    @property
    def fingerprint(self) -> str:
        """The models, the releases that run them, and the settings."""
        settings = f"least_confidence={self._least_confidence:g}, longest_side={self._longest_side}"
        return f"{reader_fingerprint()}, {settings}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"img_idx": int, "bbox_2d": four floats or None, "words": bool}`.

        Raises:
            ToolArgumentError: a name is unknown, or a value has the wrong type.
        """
        arguments = known_arguments(arguments, "img_idx", BOX, "words", alias=BOX_ALIAS)
        words = arguments.get("words", False)
        if not isinstance(words, bool):
            raise ToolArgumentError(f"words must be true or false; got {brief(words)}")
        return {**read_region(arguments, box_needed=False), "words": words}

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """A numbered line for each line or word; "No text was found." where there is none.

        Raises:
            ToolError: there is no image of that number, or the box is unusable (see `coordinates.pixel_box`).
        """
        image, region = region_of(arguments, self._coords, context)
        seen = Seen(original=image.size, shown=context.shown[arguments["img_idx"]])
        corner = math.floor(region.left), math.floor(region.top)
        found = read_text(cropped(image, region), words=arguments["words"], longest_side=self._longest_side)
        pieces = [piece for piece in found if piece.confidence >= self._least_confidence]
        rows = [self._row(number, piece, corner, seen) for number, piece in enumerate(pieces[:MAX_PIECES], start=1)]
        if len(pieces) > MAX_PIECES:
            rows.append(f"[... {len(pieces) - MAX_PIECES} more ...]")
        return ToolResult(content=("\n".join(rows) or "No text was found.",)), state

    def _row(self, number: int, piece: ReadText, corner: tuple[int, int], seen: Seen) -> str:
        left, top = corner
        box = piece.box
        moved = PixelBox(box.left + left, box.top + top, box.right + left, box.bottom + top)
        text = piece.text if len(piece.text) <= _PIECE_CHARS else f"{piece.text[: _PIECE_CHARS - 3]}..."
        written = written_box(moved, self._coords, original=seen.original, shown=seen.shown)
        numbers = _outwards(written, self._coords, seen)
        return f"{number}. {text} (box [{', '.join(numbers)}], confidence {piece.confidence:.2f})"


def _outwards(box: Sequence[float], coords: Coords, seen: Seen) -> list[str]:
    """The numbers of a box, rounded so that it still holds what it held, and lies within the image."""
    width, height = extent(coords, original=seen.original, shown=seen.shown)
    step = 0.001 if coords is Coords.NORM1 else 1.0
    # What lies on a whole number but for a rounding error stays there.
    lower = [math.floor(value / step + 1e-6) for value in box[:2]]
    upper = [math.ceil(min(value, limit) / step - 1e-6) for value, limit in zip(box[2:], (width, height), strict=True)]
    return [f"{number * step:.3f}" if coords is Coords.NORM1 else f"{number}" for number in (*lower, *upper)]
