"""Defines `ImageRef`, the immutable image that questions, tool results and observations refer to."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from axpo_envs.image_files import open_image

Pixels = npt.NDArray[np.uint8]


class ImageRef:
    """A reference to immutable pixels, compared by their content.

    Copying, snapshotting and restoring an episode hands this reference on; the pixels themselves
    exist once per process. Pickling writes them losslessly, so a reference survives the trip to
    another process.

    Args:
        pixels: uint8 array of shape (H, W, 3), RGB. It is made read-only; pass a copy to keep writing.

    Raises:
        ValueError: the array is not uint8 of shape (H, W, 3) with H, W >= 1.
    """

    __slots__ = ("_digest", "pixels")

    pixels: Final[Pixels]

    def __init__(self, pixels: Pixels) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"an image is a uint8 array of shape (H, W, 3); got {pixels.dtype} {pixels.shape}")
        pixels.flags.writeable = False
        self.pixels = pixels
        self._digest: str | None = None

    @classmethod
    def from_pil(cls, image: Image.Image) -> ImageRef:
        """Takes any Pillow image; converts it to RGB."""
        return cls(np.asarray(image.convert("RGB")).copy())

    @classmethod
    def from_file(cls, path: str | Path) -> ImageRef:
        """Reads an image file of any format that Pillow knows (see `open_image`).

        Raises:
            OSError, SyntaxError: there is no such file, or it is no image.
        """
        with open_image(Path(path).read_bytes()) as image:
            return cls.from_pil(image)

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
        return _image_from_png, (self.to_png(),)

    def __copy__(self) -> ImageRef:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ImageRef:
        return self


def _image_from_png(data: bytes) -> ImageRef:
    with Image.open(io.BytesIO(data)) as image:
        return ImageRef.from_pil(image)
