"""Defines `parts_of`, which turns the result of an MCP tool into the text and images that a policy reads.

| content | what the policy reads |
|---|---|
| text | itself |
| image | itself; one that cannot be decoded, or has more than 64 million pixels, as `[image: ...]` |
| audio | `[audio: audio/wav, 1234 bytes]` |
| link to a resource | `[resource: NAME, URI, mime type, description]` |
| embedded resource | its text; an image in it as itself; other bytes as `[resource: URI, mime type, 1234 bytes]` |
| nothing but structured content | its JSON |
| nothing | `(no content)` |

Texts that follow each other stand on lines of their own. Texts beyond the limit are cut, and say so.
"""

from __future__ import annotations

import base64
import binascii
import json
import warnings
from collections.abc import Iterable
from typing import Final

from mcp import types
from PIL import Image

from axpo_envs.image_files import open_image
from axpo_envs.images import ImageRef
from axpo_envs.surrogates import well_formed
from axpo_envs.types import Parts

MAX_PIXELS: Final = 64_000_000
"""Pixels of an image; a larger one is not decoded."""


def parts_of(result: types.CallToolResult, *, max_chars: int) -> Parts:
    """What the policy reads of a result.

    Args:
        result: the result.
        max_chars: characters of text that are kept in all.
    """
    parts: list[str | ImageRef] = []
    for block in result.content:
        part = _part(block)
        if parts and isinstance(part, str) and isinstance(parts[-1], str):
            parts[-1] = f"{parts[-1]}\n{part}"
        else:
            parts.append(part)
    if not parts and result.structured_content is not None:
        parts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return tuple(_cut(parts, max_chars)) or ("(no content)",)


def _part(block: types.ContentBlock) -> str | ImageRef:
    match block:
        case types.TextContent(text=text) | types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return well_formed(text)
        case types.ImageContent(data=data, mime_type=mime):
            return _image(data, mime)
        case types.EmbeddedResource(resource=types.BlobResourceContents(blob=data, mime_type=str(mime))) if (
            mime.startswith("image/")
        ):
            return _image(data, mime)
    return _description(block)


def _description(block: types.ContentBlock) -> str:
    facts: list[str | None]
    match block:
        case types.AudioContent(data=data, mime_type=mime):
            facts = ["audio", mime, f"{_size(data)} bytes"]
        case types.EmbeddedResource(resource=types.BlobResourceContents() as blob):
            facts = ["resource", str(blob.uri), blob.mime_type, f"{_size(blob.blob)} bytes"]
        case types.ResourceLink():
            facts = ["resource", block.name, str(block.uri), block.mime_type, block.description]
        case _:
            facts = ["content of an unknown kind", type(block).__name__]
    kind, *rest = (well_formed(fact) for fact in facts if fact)
    return f"[{kind}: {', '.join(rest)}]"


def _image(data: str, mime: str) -> str | ImageRef:
    try:
        # Pillow warns of images that are large, which the limit below judges.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = open_image(base64.b64decode(data, validate=True))
        with image:
            if image.width * image.height > MAX_PIXELS:
                return f"[image: {mime}, {image.width}x{image.height}, too large to be shown]"
            return ImageRef.from_pil(image)
    except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError):
        return f"[image: {mime}, cannot be decoded]"


def _size(data: str) -> int:
    """Bytes that a base64 text stands for."""
    return len(data) * 3 // 4 - data[-2:].count("=")


def _cut(parts: Iterable[str | ImageRef], max_chars: int) -> Iterable[str | ImageRef]:
    left = max_chars
    for part in parts:
        if isinstance(part, str) and len(part) > left:
            yield f"{part[:left]}\n[cut: {len(part) - left} more characters]"
            left = 0
        else:
            yield part
            left -= len(part) if isinstance(part, str) else 0
