"""Defines `Showing`, how an environment shows images to the policy, and the reductions that it and tools make."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, Final

import numpy as np
from PIL import Image

from axpo_envs.images import ImageRef, Size
from axpo_envs.imaging._decoding import WHITE, Colour
from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.types import Parts

_REDUCING_GAP: Final = 3.0
_KEPT_BYTES: Final = 64 << 20


class Showing:
    """How an environment shows images. What it showed is what it says: tools and policies go by one and the same view.

    Args:
        view_size: longer side in pixels to which a question's larger images are reduced; None shows them as they are.
        result_view_size: the same for images that tools return.
        view: how a question's images are shown, where that is no reduction to `view_size`.
        background: what transparent images of tools are laid on.
    """

    def __init__(
        self,
        *,
        view_size: int | None = None,
        result_view_size: int | None = None,
        view: Callable[[ImageRef], ImageRef] | None = None,
        background: Colour = WHITE,
    ) -> None:
        self.view_size: Final = view_size
        self.result_view_size: Final = result_view_size
        self.background: Final = background
        self._view = view
        self._kept: OrderedDict[tuple[str, int], ImageRef] = OrderedDict()
        self._kept_bytes = 0
        self._lock = Lock()

    def of_question(self, parts: Parts) -> Parts:
        """A question's prompt as the policy sees it."""
        if self._view is not None:
            view = self._view
            return tuple(view(part) if isinstance(part, ImageRef) else part for part in parts)
        return self._reduced(parts, self.view_size)

    def of_result(self, parts: Parts) -> Parts:
        """What a tool returned as the policy sees it."""
        return self._reduced(parts, self.result_view_size)

    def sizes_of_question(self, parts: Parts) -> tuple[Size, ...]:
        """The sizes at which a question's images are shown."""
        if self._view is not None:
            return tuple(part.size for part in self.of_question(parts) if isinstance(part, ImageRef))
        return _reduced_sizes(parts, self.view_size)

    def sizes_of_result(self, parts: Parts) -> tuple[Size, ...]:
        """The sizes at which the images of a tool's result are shown."""
        return _reduced_sizes(parts, self.result_view_size)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(
            Showing,
            view_size=self.view_size,
            result_view_size=self.result_view_size,
            view=self._view,
            background=self.background,
        ), ()

    def _reduced(self, parts: Parts, view_size: int | None) -> Parts:
        if view_size is None:
            return parts
        return tuple(self._view_of(part, view_size) if isinstance(part, ImageRef) else part for part in parts)

    def _view_of(self, image: ImageRef, view_size: int) -> ImageRef:
        if shown_size(image.size, view_size) == image.size:
            return image
        key = image.digest, view_size
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        made = view_image(image, view_size)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._kept_bytes += made.pixels.nbytes
            while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._kept_bytes -= self._kept.popitem(last=False)[1].pixels.nbytes
            return self._kept.get(key, made)


def _reduced_sizes(parts: Parts, view_size: int | None) -> tuple[Size, ...]:
    sizes = (part.size for part in parts if isinstance(part, ImageRef))
    return tuple(sizes if view_size is None else (shown_size(size, view_size) for size in sizes))


def shown_size(original: Size, view_size: int) -> Size:
    """The size at which an image is shown: its longer side is `view_size` pixels, or its own length if that is less."""
    longer = max(original)
    if longer <= view_size:
        return original
    return Size(*(max(1, round(side * view_size / longer)) for side in original))


def view_image(image: ImageRef, view_size: int) -> ImageRef:
    """The whole image as shown (see `shown_size`)."""
    shown = shown_size(image.size, view_size)
    if shown == image.size:
        return image
    return ImageRef(np.asarray(resized(image, PixelBox(0, 0, *image.size), shown)))


def resized(image: ImageRef, box: PixelBox, size: Size) -> Image.Image:
    """A region of an image, scaled to a size."""
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
