"""Defines how what a tool function returns becomes a `ToolResult`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import pydantic_core
from PIL import Image

from axpo_envs.images import ImageRef
from axpo_envs.imaging._decoding import WHITE, Colour
from axpo_envs.imaging.files import ImageProblemError, ImageTooLargeError
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.tool.protocol import ToolError
from axpo_envs.types import ToolResult


def as_result(value: Any, *, background: Colour = WHITE) -> ToolResult:
    """A function's return value as a result.

    | value | content |
    |---|---|
    | `ToolResult` | itself |
    | `str` | the text |
    | `ImageRef`, Pillow image, uint8 array of shape (H, W), (H, W, 3) or (H, W, 4) | the image, as RGB |
    | list or tuple holding an image | its items, each as above or as JSON |
    | anything else JSON-able: numbers, numpy's too, lists, dicts, dataclasses, pydantic models, None | its JSON text |

    How images become RGB, `imaging._decoding` says. Halves of surrogate pairs, which no tokenizer takes, become
    U+FFFD.

    Args:
        value: what the function returned.
        background: what transparent images are laid on.

    Raises:
        TypeError: it is none of these.
        ToolError: an image's file is damaged, too large or of a format that is not read.
    """
    if isinstance(value, ToolResult):
        return value
    if isinstance(value, list | tuple) and any(_is_image(item) for item in value):
        return ToolResult(content=tuple(_as_part(item, background) for item in value))
    return ToolResult(content=(_as_part(value, background),))


def _is_image(value: Any) -> bool:
    return isinstance(value, ImageRef | Image.Image | np.ndarray)


def _as_part(value: Any, background: Colour) -> str | ImageRef:
    match value:
        case str():
            return well_formed(value)
        case ImageRef():
            return value
        case Image.Image():
            return _shown(value, background)
        case np.ndarray():
            return _as_image(value, background)
    try:
        data = _jsonable(value)
    except ValueError as error:
        _refuse(value, f": {error}")
    return well_formed(json.dumps(data, ensure_ascii=False))


def _jsonable(value: Any) -> Any:
    try:
        return pydantic_core.to_jsonable_python(value, fallback=_plain)
    except UnicodeEncodeError:
        # Pydantic takes no halves of surrogate pairs for names.
        return pydantic_core.to_jsonable_python(_with_whole_names(value), fallback=_plain)


def _with_whole_names(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_whole_names(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        well_formed(name) if isinstance(name, str) else name: _with_whole_names(item) for name, item in value.items()
    }


def _plain(value: Any) -> Any:
    """What stands for a part of the data that has no JSON form by itself."""
    if isinstance(value, np.generic):
        return value.item()
    advice = "; return images in a list, other arrays as array.tolist()" if _is_image(value) else ""
    raise ValueError(f"{_kind(value)} has no JSON form{advice}")


def _shown(image: Image.Image, background: Colour) -> ImageRef:
    try:
        return ImageRef.from_pil(image, background=background)
    except ImageProblemError as error:
        raise ToolError(f"the tool's image cannot be shown: {error}") from error


def _as_image(pixels: np.ndarray[Any, Any], background: Colour) -> ImageRef:
    try:
        return ImageRef.from_array(pixels, background=background)
    except ImageTooLargeError as error:
        raise ToolError(f"the tool's image cannot be shown: {error}") from error
    except ImageProblemError:
        _refuse(pixels)


def _refuse(value: Any, why: str = "") -> NoReturn:
    raise TypeError(
        "a tool returns text, an image (ImageRef, Pillow, uint8 array of shape (H, W), (H, W, 3) or (H, W, 4)), "
        f"JSON-able data or a ToolResult; got {_kind(value)}{why}"
    )


def _kind(value: Any) -> str:
    shape = f" of {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else ""
    return f"{type(value).__name__}{shape}"
