"""Defines how what a tool function returns becomes a `ToolResult`."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np
import pydantic_core
from PIL import Image

from axpo_envs.images import ImageRef
from axpo_envs.surrogates import well_formed
from axpo_envs.types import ToolResult


def as_result(value: Any) -> ToolResult:
    """A function's return value as a result.

    | value | content |
    |---|---|
    | `ToolResult` | itself |
    | `str` | the text |
    | `ImageRef`, Pillow image, uint8 array of shape (H, W), (H, W, 3) or (H, W, 4) | the image, as RGB |
    | list or tuple holding an image | its items, each as above or as JSON |
    | anything else JSON-able: numbers, numpy's too, lists, dicts, dataclasses, pydantic models, None | its JSON text |

    Halves of surrogate pairs, which no tokenizer takes, become U+FFFD.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(value, ToolResult):
        return value
    if isinstance(value, list | tuple) and any(_is_image(item) for item in value):
        return ToolResult(content=tuple(_as_part(item) for item in value))
    return ToolResult(content=(_as_part(value),))


def _is_image(value: Any) -> bool:
    return isinstance(value, ImageRef | Image.Image | np.ndarray)


def _as_part(value: Any) -> str | ImageRef:
    match value:
        case str():
            return well_formed(value)
        case ImageRef():
            return value
        case Image.Image():
            return ImageRef.from_pil(value)
        case np.ndarray():
            return _as_image(value)
    try:
        data = pydantic_core.to_jsonable_python(value, fallback=_plain)
    except ValueError as error:
        _refuse(value, f": {error}")
    return well_formed(json.dumps(data, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """What stands for a part of the data that has no JSON form by itself."""
    if isinstance(value, np.generic):
        return value.item()
    advice = "; return images in a list, other arrays as array.tolist()" if _is_image(value) else ""
    raise ValueError(f"{_kind(value)} has no JSON form{advice}")


def _as_image(pixels: np.ndarray[Any, Any]) -> ImageRef:
    if pixels.dtype != np.uint8 or 0 in pixels.shape:
        _refuse(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        # The reference makes its pixels read-only; the function may go on using its array.
        return ImageRef(pixels.copy())
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 4):
        return ImageRef.from_pil(Image.fromarray(pixels))
    return _refuse(pixels)


def _refuse(value: Any, why: str = "") -> NoReturn:
    raise TypeError(
        "a tool returns text, an image (ImageRef, Pillow, uint8 array of shape (H, W), (H, W, 3) or (H, W, 4)), "
        f"JSON-able data or a ToolResult; got {_kind(value)}{why}"
    )


def _kind(value: Any) -> str:
    shape = f" of {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else ""
    return f"{type(value).__name__}{shape}"
