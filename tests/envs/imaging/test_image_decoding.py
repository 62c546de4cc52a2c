"""Every kind of image becomes RGB as it is meant to be seen, or is refused; none is decoded in part."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, features

from axpo_envs.imaging._decoding import check_image, decode_image, pixels_of, pixels_of_array, read_colour
from axpo_envs.imaging.files import ImageProblemError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
LOSSLESS = ("PNG", "TIFF", "WEBP")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}), **options)
    return buffer.getvalue()


def grey(values: Any) -> Image.Image:
    return Image.fromarray(np.atleast_2d(values))


def corner() -> Image.Image:
    """3 wide, 2 high; red at the top left, green right of it, blue below."""
    image = Image.new("RGB", (3, 2))
    for place, colour in (((0, 0), RED), ((1, 0), GREEN), ((0, 1), BLUE)):
        image.putpixel(place, colour)
    return image


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def at(pixels: np.ndarray, x: int, y: int) -> tuple[int, ...]:
    return tuple(pixels[y, x].tolist())


# Where the first pixel of a file lies in the upright image, and in which direction its first row runs, by the standard.
@pytest.mark.parametrize(
    ("orientation", "red", "green", "blue"),
    [
        (1, (0, 0), (1, 0), (0, 1)),
        (2, (2, 0), (1, 0), (2, 1)),
        (3, (2, 1), (1, 1), (2, 0)),
        (4, (0, 1), (1, 1), (0, 0)),
        (5, (0, 0), (0, 1), (1, 0)),
        (6, (1, 0), (1, 1), (0, 0)),
        (7, (1, 2), (1, 1), (0, 2)),
        (8, (0, 2), (0, 1), (1, 2)),
    ],
)
@pytest.mark.parametrize("kind", LOSSLESS)
def test_an_exif_orientation_is_applied_once(
    kind: str, orientation: int, red: tuple[int, int], green: tuple[int, int], blue: tuple[int, int]
) -> None:
    data = encoded(corner(), kind, exif=oriented(orientation))
    pixels = decode_image(data)
    assert pixels.shape == ((2, 3, 3) if orientation < 5 else (3, 2, 3))
    assert (at(pixels, *red), at(pixels, *green), at(pixels, *blue)) == (RED, GREEN, BLUE)
    with Image.open(io.BytesIO(data)) as image:
        assert (pixels_of(image) == pixels).all()
        # A conversion keeps the orientation pending.
        assert (pixels_of(image.convert("RGBA")) == pixels).all()
    assert (pixels_of(Image.fromarray(pixels)) == pixels).all()


def test_damaged_exif_says_nothing() -> None:
    data = encoded(corner(), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09broken")
    assert at(decode_image(data), 0, 0) == RED


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.array([0, 128, 129, 32768, 65406, 65407, 65535], np.uint16), [0, 0, 1, 128, 254, 255, 255]),
        (np.array([0, 7, 255], np.int32), [0, 7, 255]),
        (np.array([0, 257, 65535], np.int32), [0, 1, 255]),
        (np.array([0, 0.25, 0.5, 1], np.float32), [0, 64, 128, 255]),
        (np.array([0, 2, 255], np.float32), [0, 2, 255]),
    ],
    ids=["16 bits", "8 bits in 32", "16 bits in 32", "shares", "whole floats"],
)
def test_deep_greys_are_scaled_to_eight_bits(values: np.ndarray, levels: list[int]) -> None:
    expected = np.repeat(np.array(levels, np.uint8)[None, :, None], 3, axis=2)
    assert (pixels_of(grey(values)) == expected).all()
    assert (decode_image(encoded(grey(values), "TIFF")) == expected).all()
    if values.dtype == np.uint16:
        assert (decode_image(encoded(grey(values), "PNG")) == expected).all()


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (np.array([0, 65536], np.int32), "integers from 0 to 65536"),
        (np.array([-1, 3], np.int32), "integers from -1 to 3"),
        (np.array([0, 1.5], np.float32), "floats from 0 to 1.5"),
        (np.array([-0.5, 0.5], np.float32), "floats from -0.5 to 0.5"),
        (np.array([0, np.nan], np.float32), "floats from nan to nan"),
        (np.array([0, np.inf], np.float32), "floats from 0 to inf"),
    ],
)
def test_greys_of_no_known_scale_are_refused_with_their_range(values: np.ndarray, got: str) -> None:
    for read in (lambda: pixels_of(grey(values)), lambda: check_image(encoded(grey(values), "TIFF"))):
        with pytest.raises(ImageProblemError, match=got):
            read()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "La", "RGBa", "PA"])
@pytest.mark.parametrize(("alpha", "level"), [(0, 255), (255, 0), (51, 204)])
def test_alpha_is_laid_on_white(mode: str, alpha: int, level: int) -> None:
    image = Image.new({"LA": "L", "La": "L", "PA": "P"}.get(mode, "RGB"), (2, 2))
    image.putalpha(alpha)
    image = image.convert(mode)
    assert (pixels_of(image) == level).all()


def test_the_background_may_be_another_colour() -> None:
    clear = Image.new("RGBA", (1, 1), (9, 9, 9, 0))
    assert at(decode_image(encoded(clear, "PNG"), background=(1, 2, 3)), 0, 0) == (1, 2, 3)
    assert at(pixels_of_array(np.zeros((1, 1, 4), np.uint8), background=(1, 2, 3)), 0, 0) == (1, 2, 3)
    assert read_colour("white") == read_colour("#ffffff") == read_colour([255, 255, 255]) == WHITE
    for wrong in ("whitish", (1, 2), (0, 0, 256), (0.5, 0, 0), 7):
        with pytest.raises(ValueError):
            read_colour(wrong)


def palette() -> Image.Image:
    """The first colour of the palette everywhere but at the right."""
    image = Image.new("P", (2, 1))
    image.putpalette([10, 10, 10, 200, 0, 0])
    image.putpixel((1, 0), 1)
    return image


@pytest.mark.parametrize(
    ("image", "kind", "options"),
    [
        (palette(), "PNG", {"transparency": 0}),
        (palette(), "PNG", {"transparency": b"\x00\xff"}),
        (palette(), "GIF", {"transparency": 0}),
        (
            Image.merge("RGB", [grey(np.array([c, 200 * (not n)], np.uint8)) for n, c in enumerate((7, 8, 9))]),
            "PNG",
            {"transparency": (7, 8, 9)},
        ),
    ],
    ids=["palette", "palette with alphas", "GIF", "colour"],
)
def test_a_transparent_colour_is_white_and_the_others_stay(image: Image.Image, kind: str, options: Any) -> None:
    data = encoded(image, kind, **options)
    pixels = decode_image(data)
    assert (at(pixels, 0, 0), at(pixels, 1, 0)) == (WHITE, (200, 0, 0))
    assert (pixels_of(Image.open(io.BytesIO(data))) == pixels).all()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(bits: int, colour_type: int, transparent: bytes, row: bytes) -> bytes:
    """A PNG of two pixels in one row."""
    header = struct.pack(">IIBBBBB", 2, 1, bits, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


@pytest.mark.parametrize(
    ("data", "row"),
    [
        (png_of(8, 0, struct.pack(">H", 100), bytes([100, 0])), [255, 0]),
        (png_of(16, 0, struct.pack(">H", 500), struct.pack(">HH", 500, 501)), [255, 2]),
        (png_of(8, 2, struct.pack(">3H", 1, 2, 3), bytes([1, 2, 3, 0, 0, 0])), [255, 0]),
        (
            png_of(
                16, 2, struct.pack(">3H", 0x1234, 0x2345, 0x3456), struct.pack(">6H", 0x1234, 0x2345, 0x3456, 0, 0, 0)
            ),
            [255, 0],
        ),
    ],
    ids=["grey", "grey of 16 bits", "RGB", "RGB of 16 bits"],
)
def test_a_transparent_value_is_white_at_any_depth(data: bytes, row: list[int]) -> None:
    assert decode_image(data)[0].tolist() == [[level] * 3 for level in row]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_opaque_modes_keep_their_colour(mode: str) -> None:
    assert (pixels_of(Image.new("RGB", (2, 2), WHITE).convert(mode)) == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_shown(kind: str) -> None:
    frames = [Image.new("RGB", (2, 2), colour) for colour in (RED, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert at(decode_image(data), 0, 0) == RED


def noise(width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


KINDS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", *(["JPEG2000"] if features.check("jpg_2000") else [])]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_refused_by_check_and_by_decoding(kind: str, share: float) -> None:
    data = encoded(noise(), kind)
    half = data[: int(share * len(data))]
    for read in (check_image, decode_image):
        with pytest.raises(ImageProblemError):
            read(half)


def test_a_process_that_tolerates_truncated_files_gets_no_half_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = encoded(noise(), "JPEG")
    half = whole[: len(whole) // 2]
    for read in (check_image, decode_image, lambda data: pixels_of(Image.open(io.BytesIO(data)))):
        with pytest.raises(ImageProblemError, match="truncated"):
            read(half)
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_many_threads_decode_whole_images_only_and_leave_the_process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    before = list(warnings.filters)
    whole = encoded(noise(), "JPEG")

    def refused(number: int) -> bool:
        try:
            decode_image(whole if number % 2 else whole[: len(whole) // 2])
        except ImageProblemError:
            return True
        return False

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(refused, range(200))) == [True, False] * 100
    assert ImageFile.LOAD_TRUNCATED_IMAGES
    assert list(warnings.filters) == before


def test_a_photograph_in_printing_colours_is_red_not_cyan() -> None:
    red = Image.new("RGB", (16, 16), RED).convert("CMYK")
    assert np.abs(decode_image(encoded(red, "JPEG", quality=95)).astype(int) - RED).max() < 9


def test_decoding_leaves_the_filters_of_warnings_as_they_were() -> None:
    before = list(warnings.filters)
    decode_image(encoded(noise(), "PNG"))
    assert list(warnings.filters) == before


@pytest.mark.parametrize("read", [check_image, decode_image])
def test_a_file_of_an_unknown_format_is_told_which_are_read(read: Any) -> None:
    for data in (b"", b"text", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        with pytest.raises(ImageProblemError, match=r"no image of a format that is read \(PNG, JPEG, .*TIFF"):
            read(data)


def test_an_eps_file_that_somebody_opened_is_not_handed_to_its_interpreter() -> None:
    image = Image.open(io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF"))
    with pytest.raises(ImageProblemError, match="a file of the format EPS, which is not read"):
        pixels_of(image)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageProblemError, match="it has 0 x 3 pixels"):
        pixels_of(Image.new("RGB", (0, 3)))
    with pytest.raises(ImageProblemError, match="it has 3 x 0 pixels"):
        pixels_of_array(np.zeros((0, 3, 3), np.uint8))


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2)), np.zeros((2, 2, 2), np.uint8), np.zeros(4, np.uint8), np.zeros((1, 2, 2, 3), np.uint8)]
)
def test_other_arrays_are_refused_with_their_shape(array: np.ndarray) -> None:
    with pytest.raises(ImageProblemError, match=r"expected a uint8 array of shape .*; got "):
        pixels_of_array(array)


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 999),
    kind=st.sampled_from(LOSSLESS),
    orientation=st.integers(1, 8),
)
def test_ordinary_images_keep_every_bit(size: tuple[int, int], seed: int, kind: str, orientation: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert (pixels_of(Image.fromarray(rgb)) == rgb).all()
    assert (decode_image(encoded(Image.fromarray(rgb), kind)) == rgb).all()
    opaque = np.dstack([rgb, np.full(size, 255, np.uint8)])
    assert (decode_image(encoded(Image.fromarray(opaque), kind)) == rgb).all()
    turned = decode_image(encoded(Image.fromarray(rgb), kind, exif=oriented(orientation)))
    assert sorted(map(tuple, turned.reshape(-1, 3))) == sorted(map(tuple, rgb.reshape(-1, 3)))


@settings(max_examples=80)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16"]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    orientation=st.integers(1, 8),
)
def test_every_mode_becomes_read_only_rgb_of_its_upright_size(
    mode: str, size: tuple[int, int], orientation: int
) -> None:
    image = Image.new(mode, size)
    image.info["exif"] = oriented(orientation).tobytes()
    pixels = pixels_of(image)
    assert (pixels.dtype, pixels.shape[2], pixels.flags.writeable) == (np.uint8, 3, False)
    assert pixels.shape[1::-1] == (size if orientation < 5 else size[::-1])


@settings(max_examples=200)
@given(
    kind=st.sampled_from(KINDS),
    place=st.floats(0, 0.999),
    junk=st.binary(min_size=1, max_size=8),
)
def test_damaged_files_are_decoded_or_refused_and_never_anything_else(kind: str, place: float, junk: bytes) -> None:
    data = encoded(noise(9, 7), kind)
    start = int(place * len(data))
    damaged = data[:start] + junk + data[start + len(junk) :]
    for read in (check_image, decode_image):
        with contextlib.suppress(ImageProblemError):
            read(damaged)
