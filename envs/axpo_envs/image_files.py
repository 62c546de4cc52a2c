"""Defines `open_image`, which opens the bytes of an image file that somebody else wrote."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Final

from PIL import Image, UnidentifiedImageError

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_ANCILLARY: Final = 0x20


def open_image(data: bytes) -> Image.Image:
    """Opens an image file of any format that Pillow knows; its pixels are decoded when they are asked for.

    A PNG is read without damaged chunks that its pixels do not depend on (colour profiles, comments), which browsers
    skip and Pillow refuses.

    Raises:
        OSError, SyntaxError: it is no image, or one whose header is damaged.
    """
    try:
        return Image.open(io.BytesIO(_without_damaged_chunks(data) if data.startswith(_PNG) else data))
    except UnidentifiedImageError:
        # Pillow's message names an object in memory.
        raise UnidentifiedImageError("it is no image of a format that Pillow knows") from None


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
