"""Defines what is read as an image at all: formats, limits, and files and bytes that somebody else wrote.

| limit | value | why |
|---|---|---|
| formats | PNG, JPEG, WebP, GIF, BMP, TIFF, JPEG 2000, AVIF, PPM | Pillow's own decoders; none starts a program |
| files | regular ones, links to them included | a pipe or a device would block or never end |
| bytes of a file | 1 GiB | |
| pixels of an image | 2^27, 134 million | judged by the header, before anything is decoded |
| images of a question or of a tool's result | 256 | |
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zlib
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Any, Final

from PIL import Image, ImageFile, UnidentifiedImageError

MAX_PIXELS: Final = 2**27
"""Pixels of an image; a larger one is not decoded."""
MAX_IMAGES: Final = 256
"""Images of one question, or of one result of a tool."""
MAX_BYTES: Final = 2**30
"""Bytes of an image file; a larger one is not read."""

_FORMATS: Final = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_ANCILLARY: Final = 0x20
_NEVER_BLOCK: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class ImageProblemError(ValueError):
    """Something is no image that can be shown; the message says what was expected and what was got."""


class ImageTooLargeError(ImageProblemError):
    """An image has more pixels than are decoded."""

    def __init__(self, width: int, height: int, most: int) -> None:
        super().__init__(f"it has {width} x {height} pixels; expected at most {most:,}")
        self.width: Final = width
        """Pixels from left to right."""
        self.height: Final = height
        """Pixels from top to bottom."""


def image_suffixes() -> frozenset[str]:
    """Endings of the names of files whose formats are read, in small letters with their dots."""
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in _FORMATS)


def read_image_file(path: str | Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: it cannot be read.
        ImageProblemError: it is a folder, a pipe, a device or the like, or too large.
    """
    _check_regular(Path(path).stat())
    # Between the two looks it may have become a pipe, which would block.
    descriptor = os.open(path, os.O_RDONLY | _NEVER_BLOCK)
    with os.fdopen(descriptor, "rb") as file:
        _check_regular(os.fstat(descriptor))
        data = file.read(MAX_BYTES + 1)
    _check_length(data)
    return data


def open_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Opens the bytes of an image file; its pixels are decoded when they are asked for.

    A PNG is read without damaged chunks that its pixels do not depend on (colour profiles, comments), which browsers
    skip and Pillow refuses.

    Raises:
        ImageTooLargeError: it has more than `max_pixels` pixels.
        ImageProblemError: it is no image of a format that is read, or its header is damaged.
    """
    _check_length(data)
    try:
        with undisturbed_decoding():
            image = Image.open(
                io.BytesIO(_without_damaged_chunks(data) if data.startswith(_PNG) else data), formats=_known_formats()
            )
    except UnidentifiedImageError:
        # Pillow's message names an object in memory.
        names = ", ".join(name for name in _known_formats() if name != "MPO")
        raise ImageProblemError(
            f"it is no image of a format that is read ({names}), or its header is damaged"
        ) from None
    except Exception as error:
        raise ImageProblemError(reason_of(error)) from error
    check_size(image.width, image.height, max_pixels=max_pixels)
    return image


def check_openable(image: Image.Image) -> None:
    """Holds a Pillow image that somebody else opened to the formats and limits.

    Raises:
        ImageProblemError: its pixels are still to be read by a decoder of another format, or it is too large or empty.
    """
    waiting = isinstance(image, ImageFile.StubImageFile) or bool(getattr(image, "tile", None))
    if isinstance(image, ImageFile.ImageFile) and waiting and image.format not in _FORMATS:
        raise ImageProblemError(f"it is a file of the format {image.format}, which is not read")
    check_size(image.width, image.height)


def check_size(width: int, height: int, *, max_pixels: int = MAX_PIXELS) -> None:
    """Holds an image's size to the limits.

    Raises:
        ImageTooLargeError: it has more than `max_pixels` pixels.
        ImageProblemError: it has none.
    """
    if width < 1 or height < 1:
        raise ImageProblemError(f"it has {width} x {height} pixels; expected at least 1 x 1")
    if width * height > max_pixels:
        raise ImageTooLargeError(width, height, max_pixels)


def check_count(images: int) -> None:
    """Holds the number of a question's or a result's images to the limit.

    Raises:
        ImageProblemError: there are more.
    """
    if images > MAX_IMAGES:
        raise ImageProblemError(f"expected at most {MAX_IMAGES} images; got {images}")


def reason_of(error: Exception) -> str:
    """What a decoder's exception says, its kind where it says nothing."""
    return str(error) or type(error).__name__


class _Undisturbed(AbstractContextManager[None]):
    """Pillow's settings of the process while any thread decodes: truncated files are errors, and nothing is warned of.

    Pillow warns of images that are large, which the limit judges, and of damaged metadata, which pixels do not need.
    """

    def __init__(self) -> None:
        self._tolerant = False
        self._filters: Any = None
        self.renew()

    def renew(self) -> None:
        """Forgets who is within: in a process that was just forked, threads that are not there."""
        self._lock = Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)
                ImageFile.LOAD_TRUNCATED_IMAGES = self._tolerant


_UNDISTURBED: Final = _Undisturbed()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_UNDISTURBED.renew)


def undisturbed_decoding() -> AbstractContextManager[None]:
    """A context in which Pillow refuses truncated files, whatever the process has set, and does not warn."""
    return _UNDISTURBED


def _known_formats() -> tuple[str, ...]:
    """The formats that are read, as far as this Pillow was built with them."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a device or the like"
        raise ImageProblemError(f"expected a regular file; it is {kind}")
    if status.st_size > MAX_BYTES:
        raise ImageProblemError(f"it has {status.st_size:,} bytes; expected at most {MAX_BYTES:,}")


def _check_length(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise ImageProblemError(f"it has more than {MAX_BYTES:,} bytes")


def _without_damaged_chunks(png: bytes) -> bytes:
    kept = [_PNG]
    place = len(_PNG)
    # A chunk is its length, its type, that many bytes, and a checksum of type and bytes.
    while place + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, place)
        end = place + 12 + length
        body = png[place + 4 : end - 4]
        ancillary = bool(body[0] & _ANCILLARY)
        if not ancillary or png[end - 4 : end] == struct.pack(">I", zlib.crc32(body)):
            kept.append(png[place:end])
        place = end
    return b"".join(kept)
