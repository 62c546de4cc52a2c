"""Defines `Looks`, which compares images by outlines and colours, without a model.

The outlines are a perceptual hash: 64 signs of the lowest frequencies of the grey image's cosine transform against
their median (Zauner 2010). The colours are the means of an 8 x 8 grid, as in the colour layout of MPEG-7, compared by
distance. Both look at the image reduced to 32 x 32 pixels, whatever its aspect ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef, Size
from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.imaging.showing import resized

_SIDE: Final = 32
_LOW: Final = 8
_GRID: Final = 8
_VERSION: Final = 1
_GREY: Final = np.array([0.299, 0.587, 0.114])


class Looks:
    """Vectors of length 1 that hold how an image looks: rescaled, recompressed and slightly retouched copies stay near.

    The scalar product of two of them is 1 for images that look the same: `hash_weight * (1 - differing bits / 32) +
    (1 - hash_weight) * (1 - squared distance of colours / 2)`. It knows nothing of what an image shows: crops, mirrored
    and turned copies are not found.

    Args:
        hash_weight: part of the outlines, 0 to 1; the rest is the colours'.

    Raises:
        EnvConfigError: the weight is out of range.
    """

    def __init__(self, *, hash_weight: float = 0.5) -> None:
        if not 0 <= hash_weight <= 1:
            raise EnvConfigError(f"expected hash_weight from 0 to 1; got {hash_weight}")
        self._weight = float(hash_weight)

    def __repr__(self) -> str:
        return f"Looks(hash_weight={self._weight:g})"

    @property
    def fingerprint(self) -> str:
        """The weight, and the version of what is computed."""
        return f"looks-{_VERSION}:{self._weight:g}"

    def encode(self, images: Sequence[ImageRef]) -> NDArray[np.float32]:
        """One vector of length 1 for each image, float32 of shape (images, 257)."""
        return np.stack([self._vector(image) for image in images]).astype(np.float32)

    def _vector(self, image: ImageRef) -> NDArray[np.float64]:
        small = np.asarray(resized(image, PixelBox(0, 0, *image.size), Size(_SIDE, _SIDE)), dtype=np.float64) / 255
        parts = self._weight**0.5 * hash_signs(small @ _GREY) / _LOW, (1 - self._weight) ** 0.5 * colours(small)
        return np.concatenate(parts)


def hash_signs(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """The perceptual hash as 64 numbers, 1 or -1.

    Args:
        grey: levels, float of shape (32, 32).
    """
    low = _COSINES @ grey @ _COSINES.T
    # What rounding leaves of a frequency that is not there has no sign.
    flat = np.round(low.ravel(), 6)
    # The first one is the brightness, which says nothing of outlines.
    return np.where(flat > np.median(flat[1:]), 1.0, -1.0)


def colours(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of a grid's cells on a sphere: the nearer two vectors, the more alike the colours of all cells.

    Args:
        pixels: levels from 0 to 1, float of shape (32, 32, 3).

    Returns:
        A vector of length 1, float of shape (193,).
    """
    cell = _SIDE // _GRID
    means = pixels.reshape(_GRID, cell, _GRID, cell, 3).mean(axis=(1, 3)).ravel()
    # Levels from -1 to 1, scaled so that no image lies outside the unit ball; the last number lifts it onto the sphere.
    inside = (2 * means - 1) / np.sqrt(means.size)
    return np.append(inside, np.sqrt(max(0.0, 1 - float(inside @ inside))))


def _cosine_rows() -> NDArray[np.float64]:
    """The 8 lowest rows of the cosine transform (DCT-II) of 32 values."""
    frequency, place = np.arange(_LOW)[:, None], np.arange(_SIDE)[None, :]
    rows: NDArray[np.float64] = np.cos(np.pi * frequency * (2 * place + 1) / (2 * _SIDE)) * np.sqrt(2 / _SIDE)
    return rows


_COSINES: Final = _cosine_rows()
