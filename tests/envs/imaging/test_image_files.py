"""What is read as an image at all: regular files, known formats, a limit on pixels."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from axpo_envs.images import ImageRef
from axpo_envs.imaging import files as image_files
from axpo_envs.imaging.files import (
    MAX_IMAGES,
    MAX_PIXELS,
    ImageProblemError,
    ImageTooLargeError,
    check_count,
    check_size,
    image_suffixes,
    open_image,
    read_image_file,
)


def test_a_regular_file_and_a_link_to_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to("file")
    assert read_image_file(tmp_path / "file") == read_image_file(str(tmp_path / "link")) == b"bytes"


def test_pipes_devices_folders_and_dead_links_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to_pipe").symlink_to("pipe")
    (tmp_path / "dead").symlink_to("nowhere")
    for name in ("pipe", "to_pipe", "/dev/zero"):
        with pytest.raises(ImageProblemError, match="expected a regular file; it is a pipe, a device or the like"):
            read_image_file(tmp_path / name)
    with pytest.raises(ImageProblemError, match="it is a folder"):
        read_image_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_image_file(tmp_path / "dead")


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "MAX_BYTES", 9)
    (tmp_path / "long").write_bytes(bytes(10))
    with pytest.raises(ImageProblemError, match="it has 10 bytes; expected at most 9"):
        read_image_file(tmp_path / "long")
    with pytest.raises(ImageProblemError, match="more than 9 bytes"):
        open_image(bytes(10))


def png_of_size(width: int, height: int) -> bytes:
    """A file whose header promises more than its few bytes hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def test_an_image_with_too_many_pixels_is_refused_by_its_header() -> None:
    with pytest.raises(ImageTooLargeError, match="it has 12000 x 12000 pixels; expected at most 134,217,728"):
        open_image(png_of_size(12_000, 12_000))
    with pytest.raises(ImageProblemError):
        open_image(png_of_size(2_000_000, 2_000_000))
    with open_image(png_of_size(12_000, 9_000)) as image:
        assert image.size == (12_000, 9_000)
    with pytest.raises(ImageTooLargeError, match="expected at most 50"):
        open_image(png_of_size(10, 6), max_pixels=50)
    with pytest.raises(ImageTooLargeError):
        ImageRef(np.broadcast_to(np.zeros(3, np.uint8), (MAX_PIXELS + 1, 1, 3)))


def test_a_file_whose_header_promises_pixels_that_are_not_there_is_refused_when_it_is_decoded() -> None:
    with pytest.raises(ImageProblemError, match="truncated"):
        ImageRef.from_bytes(png_of_size(10, 10))


def test_sizes_and_counts_are_held_to_the_limits() -> None:
    check_size(MAX_PIXELS, 1)
    for size in ((0, 1), (1, 0)):
        with pytest.raises(ImageProblemError, match="expected at least 1 x 1"):
            check_size(*size)
    check_count(MAX_IMAGES)
    with pytest.raises(ImageProblemError, match="expected at most 256 images; got 257"):
        check_count(MAX_IMAGES + 1)


def test_names_of_formats_that_start_programs_are_no_names_of_images() -> None:
    assert {".png", ".jpg", ".jpeg", ".tif", ".webp", ".gif", ".bmp"} <= image_suffixes()
    assert not {".eps", ".ps", ".pdf", ".wmf", ".svg"} & image_suffixes()


def test_a_lowered_limit_of_pillow_holds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    buffer = io.BytesIO()
    Image.new("RGB", (10, 10)).save(buffer, "PNG")
    with pytest.raises(ImageProblemError, match="exceeds limit"):
        open_image(buffer.getvalue())
