"""Defines `parts_of`, which turns the result of an MCP tool into the text and images that a policy reads.

| content | what the policy reads |
|---|---|
| text | itself |
| image | itself; one that cannot be decoded, or goes beyond the limits of `imaging.files`, as `[image: ...]` |
| audio | `[audio: audio/wav, 1234 bytes]` |
| link to a resource | `[resource: NAME, URI, mime type, description]` |
| embedded resource | its text; an image in it as itself; other bytes as `[resource: URI, mime type, 1234 bytes]` |
| nothing but structured content | its JSON |
| nothing | `(no content)` |

Texts that follow each other stand on lines of their own. Texts beyond the limit are cut, and say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from mcp import types

from axpo_envs.images import ImageRef
from axpo_envs.imaging._data_urls import is_data_url, read_base64, read_data_url
from axpo_envs.imaging._decoding import WHITE, Colour
from axpo_envs.imaging.files import MAX_IMAGES, MAX_PIXELS, ImageProblemError, ImageTooLargeError, open_image
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.plumbing.web.redaction import redact
from axpo_envs.types import Parts


def parts_of(result: types.CallToolResult, *, max_chars: int, background: Colour = WHITE) -> Parts:
    """What the policy reads of a result.

    Args:
        result: the result.
        max_chars: characters of text that are kept in all.
        background: what transparent images are laid on.
    """
    images = _Images(background)
    parts: list[str | ImageRef] = []
    for block in result.content:
        part = _part(block, images)
        if parts and isinstance(part, str) and isinstance(parts[-1], str):
            parts[-1] = f"{parts[-1]}\n{part}"
        else:
            parts.append(part)
    if not parts and result.structured_content is not None:
        parts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return tuple(_cut(parts, max_chars)) or ("(no content)",)


def _part(block: types.ContentBlock, images: _Images) -> str | ImageRef:
    match block:
        case types.TextContent(text=text) | types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return redact(well_formed(text))
        case types.ImageContent(data=data, mime_type=mime):
            return images.read(data, mime)
        case types.EmbeddedResource(resource=types.BlobResourceContents(blob=data, mime_type=str(mime))) if (
            mime.lower().startswith("image/")
        ):
            return images.read(data, mime)
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


class _Images:
    """Reads the images of one result, within the limits of all of them together."""

    def __init__(self, background: Colour) -> None:
        self._background = background
        self._count = 0
        self._pixels_left = MAX_PIXELS

    def read(self, data: str, mime: str) -> str | ImageRef:
        """An image, or what is said instead of it."""
        kind = well_formed(mime)
        self._count += 1
        if self._count > MAX_IMAGES:
            return f"[image: {kind}, left out: at most {MAX_IMAGES} images of a result are shown]"
        try:
            encoded = read_data_url(data) if is_data_url(data) else read_base64(data)
            with open_image(encoded, max_pixels=self._pixels_left) as image:
                shown = ImageRef.from_pil(image, background=self._background)
        except ImageTooLargeError as error:
            return f"[image: {kind}, {error.width}x{error.height}, too large to be shown]"
        except ImageProblemError:
            return f"[image: {kind}, cannot be decoded]"
        self._pixels_left -= shown.width * shown.height
        return shown


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
