from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.coordinates import Coords, PixelBox, Size
from axpo_envs.tools import Effects, Tool, ToolArgumentError, ToolContext, ToolError
from axpo_envs.tools.image_zoom_in import ImageZoomIn, crop_to_view, shown_size, view_image
from axpo_envs.types import Question, ToolStatus


def noise(width: int, height: int, seed: int = 0) -> ImageRef:
    return ImageRef(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def quadrants(width: int, height: int) -> ImageRef:
    """Red, green / blue, white."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = 255
    return ImageRef(pixels)


def context(*images: ImageRef, view_size: int | None = None) -> ToolContext:
    """What an environment tells a tool that shows images at a view size, or as they are."""
    question = Question(id="q", prompt=(*images, "?"), answer="a")
    shown = tuple(image.size if view_size is None else shown_size(image.size, view_size) for image in images)
    return ToolContext(question=question, images=images, seed=0, shown=shown, view_size=view_size)


def zoom(tool: ImageZoomIn, arguments: dict[str, Any], *images: ImageRef, view_size: int | None = None) -> ImageRef:
    result, state = tool.step(tool.validate(arguments), None, context(*images, view_size=view_size))
    assert state is None
    assert result.status is ToolStatus.OK
    text, crop = result.content
    assert text == "crop"
    assert isinstance(crop, ImageRef)
    return crop


def test_it_is_a_pure_tool_without_state() -> None:
    tool = ImageZoomIn(view_size=64)
    assert isinstance(tool, Tool)
    assert (tool.name, tool.effects, tool.timeout_s) == ("image_zoom_in", Effects.PURE, None)
    assert tool.initial_state(Question(id="q", prompt=(), answer="")) is None
    assert tool.parameters["required"] == ["bbox_2d"]
    assert list(tool.parameters["properties"]) == ["label", "bbox_2d", "img_idx"]
    assert "0 to 1000" in tool.parameters["properties"]["bbox_2d"]["description"]


@pytest.mark.parametrize(
    ("coords", "box"),
    [
        # The green quadrant of 400 x 200 pixels, shown at 64 x 32.
        (Coords.REL1000, [500, 0, 1000, 500]),
        (Coords.ABS_RESIZED, [32, 0, 64, 16]),
        (Coords.ABS_ORIGINAL, [200, 0, 400, 100]),
        (Coords.NORM1, [0.5, 0, 1, 0.5]),
    ],
)
def test_a_box_shows_the_same_region_in_every_convention(coords: Coords, box: list[float]) -> None:
    crop = zoom(ImageZoomIn(coords=coords), {"bbox_2d": box}, quadrants(400, 200), view_size=64)
    # 200 x 100 pixels fill 64 x 32 of the 64 x 64 view, between two bars of grey. At the edges the filter mixes in
    # the neighbouring quadrants.
    assert (crop.pixels[:16] == 128).all()
    assert (crop.pixels[48:] == 128).all()
    assert (crop.pixels[16:46, 2:] == (0, 255, 0)).all()


def test_a_tall_region_stands_between_bars_left_and_right() -> None:
    crop = zoom(ImageZoomIn(view_size=8), {"bbox_2d": [0, 0, 250, 1000]}, quadrants(400, 400))
    assert (crop.pixels[:, [0, 1, 2, 5, 6, 7]] == 128).all()
    assert (crop.pixels[:3, 3:5] == (255, 0, 0)).all()
    assert (crop.pixels[5:, 3:5] == (0, 0, 255)).all()


def test_the_crop_shows_detail_that_the_view_has_lost() -> None:
    stripes = np.zeros((1024, 1024, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    image = ImageRef(stripes)
    assert np.ptp(view_image(image, 64).pixels) <= 8
    crop = zoom(ImageZoomIn(view_size=64), {"bbox_2d": [0, 0, 62.5, 62.5]}, image)
    assert (crop.pixels == stripes[:64, :64]).all()


def test_bbox_is_an_alias_and_label_changes_nothing() -> None:
    tool, image = ImageZoomIn(view_size=32), noise(100, 100)
    plain = zoom(tool, {"bbox_2d": [100, 200, 300, 400]}, image)
    assert zoom(tool, {"bbox": [100, 200, 300, 400]}, image) == plain
    assert zoom(tool, {"label": "red", "bbox_2d": [100, 200, 300, 400], "img_idx": 0}, image) == plain


def test_img_idx_counts_from_zero_over_question_images_and_crops() -> None:
    tool, first, second = ImageZoomIn(view_size=32), noise(100, 100, 1), noise(90, 60, 2)
    box = [0, 0, 500, 500]
    assert zoom(tool, {"bbox_2d": box, "img_idx": 1}, first, second) == zoom(tool, {"bbox_2d": box}, second)
    with pytest.raises(ToolError, match="no image number 2: img_idx must be 0 to 1"):
        zoom(tool, {"bbox_2d": box, "img_idx": 2}, first, second)
    with pytest.raises(ToolError, match="there is no image"):
        zoom(tool, {"bbox_2d": box})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "bbox_2d is missing"),
        ({"bbox_2d": [1, 2, 3, 4], "bbox": [1, 2, 3, 4]}, "given twice"),
        ({"bbox_2d": [1, 2, 3]}, "list of 4 numbers"),
        ({"bbox_2d": "1, 2, 3, 4"}, "list of 4 numbers"),
        ({"bbox_2d": [1, 2, 3, "4"]}, "must hold numbers; got '4'"),
        ({"bbox_2d": [1, 2, 3, True]}, "must hold numbers; got True"),
        ({"bbox_2d": [[1, 2, 3, 4]] * 4}, "must hold numbers"),
        ({"bbox_2d": [0, 0, 1, 10**400]}, "too large"),
        ({"bbox_2d": [1, 2, 3, 4], "label": 7}, "label must be a string; got 7"),
        ({"bbox_2d": [1, 2, 3, 4], "img_idx": -1}, "img_idx must be an integer from 0; got -1"),
        ({"bbox_2d": [1, 2, 3, 4], "img_idx": 0.0}, "img_idx must be an integer"),
        ({"bbox_2d": [1, 2, 3, 4], "zoom": 2}, "unknown argument 'zoom'; known are bbox_2d, label and img_idx"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_a_reason(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        ImageZoomIn(view_size=64).validate(arguments)


def test_a_box_outside_the_image_fails_when_executed() -> None:
    with pytest.raises(ToolError, match="reaches outside the image"):
        zoom(ImageZoomIn(view_size=64), {"bbox_2d": [0, 0, 1001, 500]}, noise(50, 50))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(EnvConfigError, match="view_size must be at least 1 pixel; got 0"):
        ImageZoomIn(view_size=0)
    with pytest.raises(EnvConfigError, match="one of rel1000, abs_resized, abs_original, norm1; got 'rel100'"):
        ImageZoomIn(view_size=64, coords="rel100")


@pytest.mark.parametrize(
    ("original", "shown"),
    [((4000, 2000), (64, 32)), ((50, 64), (50, 64)), ((65, 3), (64, 3)), ((1, 8000), (1, 64))],
)
def test_images_are_shown_with_their_longer_side_at_view_size_at_most(
    original: tuple[int, int], shown: tuple[int, int]
) -> None:
    assert shown_size(Size(*original), 64) == shown
    view = view_image(noise(*original), 64)
    assert (view.width, view.height) == shown


def test_an_image_that_fits_is_shown_as_it_is() -> None:
    image = noise(64, 40)
    assert view_image(image, 64) is image


boxes = st.tuples(st.floats(0, 0.95), st.floats(0, 0.95), st.floats(0.02, 1), st.floats(0.02, 1))


@settings(max_examples=60)
@given(st.integers(50, 700), st.integers(50, 700), boxes)
@example(64, 64, (0.7, 0.7, 1.0, 1.0))
def test_cutting_out_first_equals_scaling_out_of_the_full_image(
    width: int, height: int, corner: tuple[float, float, float, float]
) -> None:
    x, y, wide, high = corner
    image = noise(width, height)
    box = PixelBox(x * width, y * height, min(1.0, x + wide) * width, min(1.0, y + high) * height)
    scale = 48 / max(box.width, box.height)
    size = max(1, round(box.width * scale)), max(1, round(box.height * scale))
    plain = image.to_pil().resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    left, top = (48 - size[0]) // 2, (48 - size[1]) // 2
    crop = crop_to_view(image, box, 48).pixels[top : top + size[1], left : left + size[0]]
    # Pillow takes boxes in single precision and scales across, then down: with the same box at another offset, a value
    # halfway between two levels may round to the other one in each of the two.
    apart = np.abs(crop.astype(int) - np.asarray(plain))
    assert apart.max() <= 2
    assert (apart > 1).mean() <= 0.01
