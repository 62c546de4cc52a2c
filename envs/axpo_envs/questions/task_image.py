"""Defines `TaskImage`, an image of a user's row: checked when it is loaded, decoded when it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging._data_urls import is_data_url, read_data_url
from axpo_envs.imaging._decoding import WHITE, Colour, check_image
from axpo_envs.imaging.files import ImageProblemError, read_image_file
from axpo_envs.parsing import clip
from axpo_envs.plumbing.brief import brief

_SHOWN_CHARS: Final = 300
_KINDS: Final = (
    "a file's path, a file's bytes, a Pillow image, a uint8 array (H, W), (H, W, 3) or (H, W, 4), an ImageRef or a "
    "data: URL"
)

# Rows that show one image, such as the four of a question of HR-Bench, share its pixels while someone has them.
_DECODED: Final[WeakValueDictionary[str, ImageRef]] = WeakValueDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskImage:
    """An image of a row. Encoded images stay encoded until they are asked for."""

    content: Path | bytes | ImageRef
    """Where it is: a file, a file's bytes, or the pixels themselves."""
    digest: str
    """Hash of the file's bytes, or of the pixels."""
    size: int
    """Bytes of the decoded pixels."""
    background: Colour = WHITE
    """What a transparent file is laid on."""

    @classmethod
    def read(cls, value: Any, folder: Path, *, background: Colour = WHITE) -> TaskImage:
        """Reads and checks a row's image.

        Args:
            value: a path (relative to `folder`) or a `file:` URL, the bytes of an image file, a Pillow image, an array,
                an `ImageRef`, a `data:` URL, or a mapping with `bytes` or `path` (an undecoded image of a Hugging Face
                data set).
            folder: what relative paths start from.
            background: what transparent images are laid on.

        Raises:
            ImageProblemError: it is none of these, or cannot be decoded.
        """
        if isinstance(value, Mapping) and {"bytes", "path"} & value.keys():
            value = value.get("bytes") or value.get("path")
        if isinstance(value, str) and is_data_url(value):
            value = read_data_url(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return cls._encoded(bytes(value), bytes(value), "the bytes", background)
        if isinstance(value, str | Path) and str(value):
            return cls._of_file(value, folder, background)
        pixels = _pixels(value, background)
        return cls(content=pixels, digest=pixels.digest, size=pixels.pixels.nbytes)

    @classmethod
    def _of_file(cls, path: str | Path, folder: Path, background: Colour) -> TaskImage:
        named = _local(path)
        file = folder / named
        try:
            file = folder / named.expanduser()
            data = read_image_file(file)
        except (OSError, ValueError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ImageProblemError(f"cannot read the image file {clip(str(file), _SHOWN_CHARS)}: {reason}") from None
        return cls._encoded(file.absolute(), data, f"the image file {file}", background)

    @classmethod
    def _encoded(cls, content: Path | bytes, data: bytes, what: str, background: Colour) -> TaskImage:
        try:
            count = check_image(data)
        except ImageProblemError as error:
            raise ImageProblemError(f"{what} cannot be decoded: {error}") from None
        return cls(content=content, digest=_digest(data), size=3 * count, background=background)

    @property
    def identity(self) -> str:
        """What its pixels depend on."""
        return self.digest if self.background == WHITE else f"{self.digest} on {self.background}"

    def decode(self) -> ImageRef:
        """The image.

        Raises:
            EnvConfigError: its file was changed or removed since it was read, or turns out to be damaged.
        """
        if isinstance(self.content, ImageRef):
            return self.content
        held = isinstance(self.content, bytes)
        if held and (known := _DECODED.get(self.identity)) is not None:
            return known
        data = self.content if isinstance(self.content, bytes) else self._read_again(self.content)
        try:
            image = ImageRef.from_bytes(data, background=self.background)
            return _DECODED.setdefault(self.identity, image) if held else image
        except ImageProblemError as error:
            what = "the bytes" if isinstance(self.content, bytes) else f"the image file {self.content}"
            raise EnvConfigError(f"{what} cannot be decoded: {error}") from None

    def _read_again(self, file: Path) -> bytes:
        try:
            data = read_image_file(file)
        except OSError as error:
            raise EnvConfigError(f"the image file {file} can no longer be read: {error.strerror}") from None
        except ImageProblemError as error:
            raise EnvConfigError(f"the image file {file} can no longer be read: {error}") from None
        if _digest(data) != self.digest:
            raise EnvConfigError(f"the image file {file} was changed after its questions were loaded")
        return data


def _local(path: str | Path) -> Path:
    """A path, or the one that a `file:` URL names."""
    if isinstance(path, Path) or ":" not in path:
        return Path(path)
    scheme = path.partition(":")[0].lower()
    if scheme in ("http", "https"):
        raise ImageProblemError(f"expected {_KINDS}; got the address {brief(path)}: download it first")
    if scheme != "file":
        return Path(path)
    address = urlsplit(path)
    if address.netloc not in ("", "localhost"):
        raise ImageProblemError(f"expected a file of this machine, file:///...; got {brief(path)}")
    return Path(unquote(address.path))


def _pixels(value: Any, background: Colour) -> ImageRef:
    if isinstance(value, ImageRef):
        return value
    if isinstance(value, Image.Image):
        try:
            return ImageRef.from_pil(value, background=background)
        except ImageProblemError as error:
            raise ImageProblemError(f"the Pillow image cannot be decoded: {error}") from None
    if isinstance(value, np.ndarray):
        return ImageRef.from_array(value, background=background)
    raise ImageProblemError(f"expected {_KINDS}; got {brief(value)}")


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
