"""What a policy reads of the results of MCP tools."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from mcp import types
from PIL import Image

from axpo_envs import ImageRef
from axpo_envs.backends.mcp import _content as content
from axpo_envs.backends.mcp._content import parts_of
from axpo_envs.imaging.files import open_image
from axpo_envs.types import Parts


def png(side: int = 2) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "blue").save(buffer, format="PNG")
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes, *, damaged: bool = False) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ damaged)


def with_chunk(png: bytes, extra: bytes) -> bytes:
    """A PNG with a further chunk behind its header."""
    return png[:33] + extra + png[33:]


def image(data: bytes, mime: str = "image/png") -> types.ImageContent:
    return types.ImageContent(data=base64.b64encode(data).decode(), mime_type=mime)


def read(*blocks: types.ContentBlock, max_chars: int = 100, structured: object = None) -> Parts:
    return parts_of(types.CallToolResult(content=list(blocks), structured_content=structured), max_chars=max_chars)


def text(words: str) -> types.TextContent:
    return types.TextContent(text=words)


BLUE = ImageRef(np.full((2, 2, 3), (0, 0, 255), np.uint8))


@pytest.mark.parametrize(
    ("blocks", "parts"),
    [
        ((text("one"),), ("one",)),
        ((text("one"), text("two"), image(png()), text("three")), ("one\ntwo", BLUE, "three")),
        ((image(png()), image(png())), (BLUE, BLUE)),
        ((text("half \ud83d pair"),), ("half \ufffd pair",)),
        ((), ("(no content)",)),
        ((image(b"no image", "image/x"),), ("[image: image/x, cannot be decoded]",)),
        ((types.ImageContent(data="!!!", mime_type="image/png"),), ("[image: image/png, cannot be decoded]",)),
        ((image(png()[:-30]),), ("[image: image/png, cannot be decoded]",)),
        ((image(b"%!PS-Adobe-3.0 EPSF-3.0", "image/eps"),), ("[image: image/eps, cannot be decoded]",)),
        (
            (types.ImageContent(data=f"data:image/png;base64,{base64.b64encode(png()).decode()}", mime_type="x"),),
            (BLUE,),
        ),
        ((types.ImageContent(data=base64.encodebytes(png()).decode(), mime_type="image/png"),), (BLUE,)),
    ],
)
def test_blocks_become_text_and_images_in_order(blocks: tuple[types.ContentBlock, ...], parts: Parts) -> None:
    assert read(*blocks) == parts


def test_structured_content_is_shown_where_there_is_no_other() -> None:
    assert read(structured={"größe": 3}) == ('{"größe": 3}',)
    assert read(text("3"), structured={"größe": 3}) == ("3",)


def test_an_image_that_is_too_large_is_not_decoded() -> None:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    assert read(image(bomb)) in (
        ("[image: image/png, 20000x20000, too large to be shown]",),
        ("[image: image/png, cannot be decoded]",),
    )


def test_the_images_of_a_result_share_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_PIXELS", 9)
    assert read(*[image(png())] * 3) == (BLUE, BLUE, "[image: image/png, 2x2, too large to be shown]")
    monkeypatch.setattr(content, "MAX_IMAGES", 1)
    left_out = "[image: image/png, left out: at most 1 images of a result are shown]"
    assert read(*[image(png())] * 2) == (BLUE, left_out)


def test_transparent_images_are_laid_on_the_background() -> None:
    clear = io.BytesIO()
    Image.new("LA", (1, 1), (0, 0)).save(clear, "PNG")
    result = types.CallToolResult(content=[image(clear.getvalue())])
    (on_white,) = parts_of(result, max_chars=9)
    (on_black,) = parts_of(result, max_chars=9, background=(0, 0, 0))
    assert (on_white, on_black) == (
        ImageRef(np.full((1, 1, 3), 255, np.uint8)),
        ImageRef(np.zeros((1, 1, 3), np.uint8)),
    )


def test_texts_share_one_limit() -> None:
    assert read(text("abc"), image(png()), text("defg"), max_chars=5) == ("abc", BLUE, "de\n[cut: 2 more characters]")
    assert read(text("abc"), max_chars=3) == ("abc",)


def test_damaged_chunks_that_the_pixels_do_not_need_are_skipped() -> None:
    damaged = with_chunk(png(), chunk(b"iCCP", b"profile", damaged=True))
    with pytest.raises((OSError, SyntaxError)):
        Image.open(io.BytesIO(damaged))
    with open_image(damaged) as opened:
        assert ImageRef.from_pil(opened) == BLUE
    assert read(image(damaged)) == (BLUE,)
    with open_image(with_chunk(png(), chunk(b"tEXt", b"a\x00b"))) as opened:
        assert opened.info == {"a": "b"}


@pytest.mark.parametrize("cut", range(8, 56, 6))
def test_a_png_that_ends_early_is_an_error_and_nothing_worse(cut: int) -> None:
    with pytest.raises((OSError, SyntaxError, ValueError)), open_image(png()[:cut]) as opened:
        opened.load()
