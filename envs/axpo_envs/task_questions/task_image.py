"""Defines `TaskImage`, an image of a user's row: checked when it is loaded, decoded when it is asked for."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import numpy as np
from PIL import Image

from axpo_envs.brief import brief
from axpo_envs.errors import EnvConfigError
from axpo_envs.image_files import open_image
from axpo_envs.images import ImageRef

_KINDS: Final = "a file's path, a file's bytes, a Pillow image, a uint8 array (H, W, 3), an ImageRef or a data: URL"


class ImageProblemError(ValueError):
    """A value is no image; the message says what was expected and what was got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskImage:
    """An image of a row. Encoded images stay encoded until they are asked for."""

    content: Path | bytes | ImageRef
    """Where it is: a file, a file's bytes, or the pixels themselves."""
    digest: str
    """Hash of the file's bytes, or of the pixels."""
    size: int
    """Bytes of the decoded pixels."""

    @classmethod
    def read(cls, value: Any, folder: Path) -> TaskImage:
        """Reads and checks a row's image.

        Args:
            value: a path (relative to `folder`), the bytes of an image file, a Pillow image, an array, an `ImageRef`,
                a `data:` URL, or a mapping with `bytes` or `path` (an undecoded image of a Hugging Face data set).
            folder: what relative paths start from.

        Raises:
            ImageProblemError: it is none of these, or cannot be decoded.
        """
        if isinstance(value, Mapping) and {"bytes", "path"} & value.keys():
            value = value.get("bytes") or value.get("path")
        if isinstance(value, str) and value.startswith("data:"):
            value = _read_data_url(value)
        if isinstance(value, bytes | bytearray):
            return cls._encoded(bytes(value), bytes(value), "the bytes")
        if isinstance(value, str | Path) and str(value):
            return cls._of_file(value, folder)
        pixels = _pixels(value)
        return cls(content=pixels, digest=pixels.digest, size=pixels.pixels.nbytes)

    @classmethod
    def _of_file(cls, path: str | Path, folder: Path) -> TaskImage:
        if str(path).startswith(("http://", "https://")):
            raise ImageProblemError(f"expected {_KINDS}; got the address {brief(path)}: download it first")
        file = folder / Path(path).expanduser()
        try:
            data = file.read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ImageProblemError(f"cannot read the image file {file}: {reason}") from None
        return cls._encoded(file.absolute(), data, f"the image file {file}")

    @classmethod
    def _encoded(cls, content: Path | bytes, data: bytes, what: str) -> TaskImage:
        try:
            width, height = _check_encoded(data)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ImageProblemError(f"{what} cannot be decoded: {error}") from None
        return cls(content=content, digest=_digest(data), size=3 * width * height)

    def decode(self) -> ImageRef:
        """The image.

        Raises:
            EnvConfigError: its file was changed or removed since it was read.
        """
        if isinstance(self.content, ImageRef):
            return self.content
        data = self.content if isinstance(self.content, bytes) else self._read_again(self.content)
        with open_image(data) as image:
            return ImageRef.from_pil(image)

    def _read_again(self, file: Path) -> bytes:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise EnvConfigError(f"the image file {file} can no longer be read: {error.strerror}") from None
        if _digest(data) != self.digest:
            raise EnvConfigError(f"the image file {file} was changed after its questions were loaded")
        return data


def _check_encoded(data: bytes) -> tuple[int, int]:
    """Width and height of an image file whose every byte is in order, found without decoding it in full."""
    with open_image(data) as image:
        size = image.size
        if image.format == "PNG":
            image.verify()
        else:
            # A JPEG is read to its end, but only an eighth of each side is computed.
            image.draft("RGB", (1, 1))
            image.load()
    return size


def _read_data_url(url: str) -> bytes:
    header, comma, body = url.partition(",")
    if not comma or not header.startswith("data:image/"):
        raise ImageProblemError(f"expected a URL of the form data:image/png;base64,...; got {brief(url)}")
    if not header.endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise ImageProblemError(f"the data: URL is no base64: {error}") from None


def _pixels(value: Any) -> ImageRef:
    if isinstance(value, ImageRef):
        return value
    if isinstance(value, Image.Image):
        return ImageRef.from_pil(value)
    if isinstance(value, np.ndarray):
        try:
            # The reference makes its pixels read-only; the user may go on using the array.
            return ImageRef(value.copy())
        except ValueError as error:
            raise ImageProblemError(str(error)) from None
    raise ImageProblemError(f"expected {_KINDS}; got {brief(value)}")


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
