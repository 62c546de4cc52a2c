"""Defines `ImageRef`, the immutable image that questions, tool results and observations refer to, and its `Size`."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from axpo_envs.imaging._decoding import WHITE, Colour, Pixels, decode_image, pixels_of, pixels_of_array
from axpo_envs.imaging.files import check_size, read_image_file

__all__ = ["ImageRef", "Pixels", "Size"]


class Size(NamedTuple):
    """The size of an image in pixels."""

    width: int
    """Pixels from left to right."""
    height: int
    """Pixels from top to bottom."""


class ImageRef:
    """A reference to immutable pixels, compared by their content.

    Copying, snapshotting and restoring an episode hands this reference on; the pixels themselves
    exist once per process. Pickling writes them losslessly, so a reference survives the trip to
    another process.

    Args:
        pixels: uint8 array of shape (H, W, 3), RGB. It is made read-only; pass a copy to keep writing.

    Raises:
        ValueError: the array is not uint8 of shape (H, W, 3) with H, W >= 1, or has too many pixels.
    """

    __slots__ = ("__weakref__", "_digest", "pixels")

    pixels: Final[Pixels]

    def __init__(self, pixels: Pixels) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"an image is a uint8 array of shape (H, W, 3); got {pixels.dtype} {pixels.shape}")
        check_size(pixels.shape[1], pixels.shape[0])
        pixels.flags.writeable = False
        self.pixels = pixels
        self._digest: str | None = None

    @classmethod
    def from_pil(cls, image: Image.Image, *, background: Colour = WHITE) -> ImageRef:
        """Takes a Pillow image of any mode as it is meant to be seen: see `axpo_envs.imaging._decoding`.

        Args:
            image: the image; an EXIF orientation that it still carries is applied.
            background: what transparent images are laid on.

        Raises:
            ImageProblemError: its file is damaged or of a format that is not read, or its values are no image's.
        """
        return cls(pixels_of(image, background=background))

    @classmethod
    def from_array(cls, array: npt.NDArray[Any], *, background: Colour = WHITE) -> ImageRef:
        """Copies a uint8 array of shape (H, W), (H, W, 3) or (H, W, 4).

        Raises:
            ImageProblemError: it is another array.
        """
        return cls(pixels_of_array(array, background=background))

    @classmethod
    def from_bytes(cls, data: bytes, *, background: Colour = WHITE) -> ImageRef:
        """Decodes the bytes of an image file: see `axpo_envs.imaging.files` and `axpo_envs.imaging._decoding`.

        Raises:
            ImageProblemError: it is no such file, too large, or damaged.
        """
        return cls(decode_image(data, background=background))

    @classmethod
    def from_file(cls, path: str | Path, *, background: Colour = WHITE) -> ImageRef:
        """Reads an image file as `from_bytes` does.

        Raises:
            OSError: it cannot be read.
            ImageProblemError: it is no such file, too large, or damaged.
        """
        return cls.from_bytes(read_image_file(path), background=background)

    def to_pil(self) -> Image.Image:
        """The same pixels as a Pillow image."""
        return Image.fromarray(self.pixels)

    def to_png(self) -> bytes:
        """The same pixels as a PNG file's bytes."""
        buffer = io.BytesIO()
        self.to_pil().save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return Size(self.width, self.height)

    @property
    def digest(self) -> str:
        """Hash of shape and pixels, 32 hexadecimal digits; computed on first use, once per reference."""
        if self._digest is None:
            hasher = hashlib.blake2b(repr(self.pixels.shape).encode(), digest_size=16)
            hasher.update(np.ascontiguousarray(self.pixels).data)
            self._digest = hasher.hexdigest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImageRef):
            return NotImplemented
        return self is other or self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"ImageRef({self.width}x{self.height}, {self.digest[:8]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageRef.from_bytes, (self.to_png(),)

    def __copy__(self) -> ImageRef:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ImageRef:
        return self
