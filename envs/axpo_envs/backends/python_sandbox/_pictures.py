"""Defines pictures inside a sandboxed interpreter: those that a cell shows, and those that it is given.

It runs inside the sandbox, in the interpreter that the executed code can tamper with: nothing here is to be relied on.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, overload

_MOST_SIDES: Final = 200
"""How many times as wide as high, or as high as wide, a figure may be."""
_GIVEN: Final = "_pil_images"
_PATHS: Final = "_images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture that a cell shows."""

    width: int
    """In pixels."""
    height: int
    """In pixels."""
    pixels: bytes
    """RGB, row by row: 3 * width * height bytes."""


def fits(width: int, height: int, most_pixels: int) -> bool:
    """Whether a figure can be shown: image processors of models take no others."""
    sides = sorted((width, height))
    return sides[0] >= 1 and width * height <= most_pixels and sides[1] <= _MOST_SIDES * sides[0]


class Gallery:
    """The Pillow images that a cell shows, by `show()` or as its value, in order.

    Args:
        most: images that are kept.
        most_pixels: pixels of an image; a larger one is made smaller.
    """

    def __init__(self, most: int, most_pixels: int) -> None:
        self._most = most
        self._most_pixels = most_pixels
        self._figures: list[Figure] = []
        self._count = 0

    def open(self) -> None:
        """Has Pillow, where it is installed and imported, show images here."""
        viewers: Any = sys.modules.get("PIL.ImageShow")
        if viewers is not None:

            def show(image: object, *given: object, **named: object) -> bool:
                del given, named
                return self.add(image)

            viewers.show = show

    def add(self, value: object) -> bool:
        """Adds a value if it is a Pillow image; whether it is one."""
        pillow: Any = sys.modules.get("PIL.Image")
        if pillow is None or not isinstance(value, pillow.Image):
            return False
        self._count += 1
        if len(self._figures) < self._most:
            self._figures.append(_figure(pillow, value, self._most_pixels))
        return True

    def take(self) -> tuple[tuple[Figure, ...], int]:
        """The figures since the last time, and how many images there were."""
        taken, count = tuple(self._figures), self._count
        self._figures, self._count = [], 0
        return taken, count


def _figure(pillow: Any, image: Any, most_pixels: int) -> Figure:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # What is no byte a pixel is shown from its least to its greatest value.
        plain = image.convert("F")
        least, greatest = plain.getextrema()
        scale = 255.0 / (greatest - least) if greatest > least else 0.0
        image = plain.point(lambda value: value * scale - least * scale).convert("L")
    if image.width * image.height > most_pixels:
        factor = math.sqrt(most_pixels / (image.width * image.height))
        image = image.resize((max(1, int(image.width * factor)), max(1, int(image.height * factor))))
    if image.has_transparency_data if hasattr(image, "has_transparency_data") else "A" in image.getbands():
        colours = image.convert("RGBA")
        image = pillow.new("RGBA", image.size, "white")
        image.alpha_composite(colours)
    return Figure(width=image.width, height=image.height, pixels=image.convert("RGB").tobytes())


def give(names: dict[str, Any], sizes: Sequence[tuple[int, int]], pixels: bytes, folder: Path) -> None:
    """Appends images to the lists `_pil_images` (Pillow) and `_images` (paths of PNG files) of a namespace.

    Args:
        names: the namespace; without Pillow nothing is added.
        sizes: width and height of each image.
        pixels: RGB, one image after the other.
        folder: where the files are written, each when its path is first asked for.
    """
    pillow: Any = sys.modules.get("PIL.Image")
    if pillow is None or not sizes:
        return
    images = names.setdefault(_GIVEN, [])
    names.setdefault(_PATHS, Paths(images, folder))
    at = 0
    for width, height in sizes:
        size = 3 * width * height
        images.append(pillow.frombytes("RGB", (width, height), pixels[at : at + size]))
        at += size


class Paths(Sequence[str]):
    """Paths of images as files; a file is there once its path was asked for.

    Args:
        images: the images.
        folder: where the files are.
    """

    def __init__(self, images: Sequence[Any], folder: Path) -> None:
        self._originals = images
        self._folder = folder
        self._written: list[str] = []

    def __len__(self) -> int:
        return len(self._originals)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        path = self._folder / f"image_{number}.png"
        if str(path) not in self._written:
            self._originals[number].save(path, compress_level=1)
            self._written.append(str(path))
        return str(path)

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        return repr(list(self))
