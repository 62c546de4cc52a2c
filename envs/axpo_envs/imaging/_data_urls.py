"""Defines `read_data_url` and `read_base64`, which read bytes out of text as other programs write it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from axpo_envs.imaging.files import ImageProblemError
from axpo_envs.plumbing.brief import brief

_SCHEME: Final = "data:"
_NAMELESS: Final = ("", "application/octet-stream", "binary/octet-stream")
_SPACE: Final = re.compile(r"[ \t\r\n\f]+")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_URL_SAFE: Final = str.maketrans("-_", "+/")


def is_data_url(text: str) -> bool:
    """Whether a text begins as a `data:` URL does, in capitals or small letters."""
    return text[: len(_SCHEME)].lower() == _SCHEME


def read_data_url(url: str) -> bytes:
    """The bytes of a `data:` URL of an image (RFC 2397); what kind of image it is, its bytes say.

    Raises:
        ImageProblemError: it names another kind of content, or is damaged.
    """
    header, comma, body = url[len(_SCHEME) :].partition(",")
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    encoded = "base64" in (kind, *parameters)
    kind = "" if kind == "base64" else kind
    if not comma or not (kind.startswith("image/") or kind in _NAMELESS):
        raise ImageProblemError(f"expected a URL of the form data:image/png;base64,...; got {brief(url)}")
    plain = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), body.encode("utf-8", "surrogatepass"))
    return read_base64(plain.decode("latin-1")) if encoded else plain


def read_base64(text: str) -> bytes:
    """The bytes of a base64 text: with or without line breaks and padding, in either alphabet.

    Raises:
        ImageProblemError: it is no base64.
    """
    letters = _SPACE.sub("", text).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageProblemError(f"the data: URL is no base64: {error}") from None
