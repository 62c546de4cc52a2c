from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs.imaging.coordinates import Coords, PixelBox, Size, describe, extent, pixel_box, written_box
from axpo_envs.tools import ToolError

# A 4000 x 2000 photograph that the policy saw at 1000 x 500.
ORIGINAL = Size(4000, 2000)
SHOWN = Size(1000, 500)


@pytest.mark.parametrize(
    ("coords", "box", "pixels"),
    [
        (Coords.REL1000, (100, 100, 300, 200), (400, 200, 1200, 400)),
        (Coords.ABS_RESIZED, (100, 100, 300, 200), (400, 400, 1200, 800)),
        (Coords.ABS_ORIGINAL, (100, 100, 300, 200), (100, 100, 300, 200)),
        (Coords.NORM1, (0.1, 0.1, 0.3, 0.2), (400, 200, 1200, 400)),
    ],
)
def test_each_convention_gives_the_pixels_computed_by_hand(
    coords: Coords, box: tuple[float, ...], pixels: tuple[float, ...]
) -> None:
    assert pixel_box(box, coords, original=ORIGINAL, shown=SHOWN) == pytest.approx(pixels)


@pytest.mark.parametrize("coords", Coords)
def test_the_whole_image_is_a_box_in_every_convention(coords: Coords) -> None:
    width, height = extent(coords, original=ORIGINAL, shown=SHOWN)
    assert pixel_box((0, 0, width, height), coords, original=ORIGINAL, shown=SHOWN) == (0, 0, 4000, 2000)


def test_sides_are_scaled_apart_where_shrinking_rounded_them_differently() -> None:
    # 401 x 100 shown at 64 x 16: 6.265625 original pixels per shown one across, 6.25 down.
    box = pixel_box((32, 8, 64, 16), Coords.ABS_RESIZED, original=Size(401, 100), shown=Size(64, 16))
    assert box == pytest.approx((200.5, 50.0, 401.0, 100.0))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((100, 100, 300), r"4 numbers, \[x1, y1, x2, y2\]; got 3"),
        ((math.nan, 0, 1, 1), "must be finite; got .nan, 0, 1, 1."),
        ((0, 0, math.inf, 1), "must be finite"),
        ((300, 100, 100, 200), r"\[300, 100, 100, 200\] has swapped edges: .* needs x1 < x2"),
        ((100, 200, 300, 100), "has swapped edges: .* needs y1 < y2"),
        ((100, 100, 100, 200), "is empty: .* needs x1 < x2"),
        ((100, 200, 300, 200), "is empty: .* needs y1 < y2"),
        ((-1, 0, 10, 10), r"outside the image: x must be 0 to 1000 and y 0 to 1000 \(thousandths"),
        ((0, 0, 10, 1001), "outside the image"),
        ((0, 0, 50200, 10), r"\[0, 0, 50200, 10\] reaches outside"),
        ((500, 500, 500.2, 700), r"is 0.80 x 400.00 pixels of the original image; at least 1 x 1"),
    ],
)
def test_unusable_boxes_say_what_is_wrong_and_what_is_allowed(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(ToolError, match=message):
        pixel_box(box, Coords.REL1000, original=ORIGINAL, shown=SHOWN)


@pytest.mark.parametrize(
    ("coords", "limits"),
    [
        (Coords.ABS_RESIZED, "x must be 0 to 1000 and y 0 to 500 .pixels of the image as shown"),
        (Coords.ABS_ORIGINAL, "x must be 0 to 4000 and y 0 to 2000 .pixels of the original"),
        (Coords.NORM1, "x must be 0 to 1 and y 0 to 1 .shares"),
    ],
)
def test_the_limits_named_are_those_of_the_convention(coords: Coords, limits: str) -> None:
    with pytest.raises(ToolError, match=limits):
        pixel_box((0, 0, 9999, 9999), coords, original=ORIGINAL, shown=SHOWN)


def test_a_box_in_pixels_of_the_original_is_refused_where_shown_pixels_are_meant() -> None:
    # The bug of the field: a box of the 4000-pixel original applied to the 1000-pixel copy, or the other way round.
    with pytest.raises(ToolError, match="reaches outside"):
        pixel_box((2000, 100, 2400, 300), Coords.ABS_RESIZED, original=ORIGINAL, shown=SHOWN)


def test_every_convention_is_described_by_its_unit() -> None:
    assert describe(Coords.REL1000).endswith("in thousandths of the image's width and height, 0 to 1000")
    assert len({describe(coords) for coords in Coords}) == len(Coords)


sizes = st.builds(Size, st.integers(16, 8192), st.integers(16, 8192))
corners = st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.07, 0.1), st.floats(0.07, 0.1))


@given(sizes, sizes, corners, st.sampled_from(Coords))
def test_writing_a_box_undoes_reading_it(
    original: Size, shown: Size, corner: tuple[float, float, float, float], coords: Coords
) -> None:
    x, y, wide, high = corner
    box = PixelBox(x * original.width, y * original.height, (x + wide) * original.width, (y + high) * original.height)
    written = written_box(box, coords, original=original, shown=shown)
    largest = extent(coords, original=original, shown=shown)
    clipped = [min(value, limit) for value, limit in zip(written, largest * 2, strict=True)]
    assert pixel_box(clipped, coords, original=original, shown=shown) == pytest.approx(box, rel=1e-9, abs=1e-9)
