"""Defines the pictures of a page: saved images, reduced and packed into it, with the boxes that calls asked for."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from axpo.records.rollout_record import RolloutRecord
from axpo_envs.images import ImageRef
from axpo_envs.tool.marks import Mark

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
    success_threshold: float = 0.5
    """A rollout with a reward below it is wrong."""

    def correct(self, rollout: RolloutRecord) -> bool:
        """Whether its reward counts as a success."""
        return rollout.reward >= self.success_threshold

    def picture(self, drawing: Drawing) -> Picture:
        """The image as pages of these rollouts show it: packed into them."""
        return drawing.picture()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """An image as a file for a browser, no larger than it needs to be."""

    kind: str
    """Its media type."""
    data: bytes
    """The file."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""

    @classmethod
    def of(cls, image: ImageRef, longer_side: int) -> Reduced:
        """The image with at most so many pixels along its longer side."""
        picture = image.to_pil()
        lossless = max(picture.size) <= LOSSLESS_SIDE
        picture.thumbnail((longer_side, longer_side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG" if lossless else "JPEG", quality=85)
        return cls(
            kind="image/png" if lossless else "image/jpeg",
            data=buffer.getvalue(),
            width=picture.width,
            height=picture.height,
        )


class Drawing:
    """An image on which regions are being drawn.

    Args:
        image: the image.
    """

    def __init__(self, image: ImageRef) -> None:
        self.image = image
        self._marks: list[tuple[Mark, str]] = []

    def add(self, mark: Mark, label: str) -> None:
        """Draws a region."""
        self._marks.append((mark, mark.label or label))

    def picture(self) -> Picture:
        """The image, reduced to `LONGER_SIDE` and packed, and its regions in the pixels that are left."""
        small = Reduced.of(self.image, LONGER_SIDE)
        content = base64.b64encode(small.data).decode()
        return Picture(
            source=f"data:{small.kind};base64,{content}",
            width=small.width,
            height=small.height,
            boxes=self.boxes(small.width / self.image.width),
        )

    def boxes(self, scale: float) -> tuple[Box, ...]:
        """The regions, so many times as large as in the image."""
        return tuple(_scaled(mark, scale, label) for mark, label in self._marks)


def _scaled(mark: Mark, scale: float, label: str) -> Box:
    return Box(
        x=round(mark.left * scale, 2),
        y=round(mark.top * scale, 2),
        width=round(mark.width * scale, 2),
        height=round(mark.height * scale, 2),
        label=label,
    )
