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


class _Show:
    """matplotlib's `show`: wherever code keeps it, it shows where the cell that runs shows its pictures."""

    gallery: Gallery

    def __call__(self, *given: object, **named: object) -> None:
        del given, named
        self.gallery.add_open()


_SHOW: Final = _Show()


class Gallery:
    """The pictures that a cell shows, in order.

    These are the Pillow images that it shows by `show()` or as its value, and matplotlib's open figures at each
    `pyplot.show()` and at the cell's end.

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
        """Has Pillow and matplotlib, where they are installed and imported, show pictures here."""
        _SHOW.gallery = self
        pyplot: Any = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.show = _SHOW
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

    def add_open(self) -> None:
        """Adds matplotlib's open figures in the order of their numbers, and closes them."""
        pyplot: Any = sys.modules.get("matplotlib.pyplot")
        if pyplot is None:
            return
        numbers = pyplot.get_fignums()
        self._count += len(numbers)
        try:
            for number in numbers[: max(0, self._most - len(self._figures))]:
                self._figures.append(_draw(pyplot.figure(number), self._most_pixels))
        finally:
            # One that cannot be drawn would be an error of every later cell.
            pyplot.close("all")

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


def _draw(figure: Any, most_pixels: int) -> Figure:
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    width, height = figure.get_size_inches() * figure.dpi
    while round(width) * round(height) > most_pixels:
        figure.set_dpi(figure.dpi * min(0.999, math.sqrt(most_pixels / (width * height))))
        width, height = figure.get_size_inches() * figure.dpi
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba()).astype(np.uint16)
    opacity = drawn[:, :, 3:]
    on_white = (drawn[:, :, :3] * opacity + 255 * (255 - opacity)) // 255
    return Figure(width=drawn.shape[1], height=drawn.shape[0], pixels=on_white.astype(np.uint8).tobytes())


def give(names: dict[str, Any], sizes: Sequence[tuple[int, int]], pixels: bytes, folder: Path) -> None:
    """Appends images to the lists `_pil_images` (Pillow) and `_images` (paths of PNG files) of a namespace.

    Args:
        names: the namespace; without Pillow nothing is added, and without images empty lists are.
        sizes: width and height of each image.
        pixels: RGB, one image after the other.
        folder: where the files are written, each when its path is first asked for.
    """
    pillow: Any = sys.modules.get("PIL.Image")
    if pillow is None:
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
