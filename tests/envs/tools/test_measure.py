from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef, Size
from axpo_envs.imaging.colour_names import COLOUR_NAMES, colour_name
from axpo_envs.imaging.coordinates import Coords
from axpo_envs.plumbing.columns import Columns
from axpo_envs.scenes import COLOURS
from axpo_envs.testing import check_tool
from axpo_envs.tool.marks import Mark, Seen
from axpo_envs.tools import Effects, Measure, Tool, ToolArgumentError, ToolContext, ToolError
from axpo_envs.types import Question


def quadrants(width: int, height: int) -> ImageRef:
    """Red, green / blue, white."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = (220, 30, 30)
    pixels[: height // 2, width // 2 :] = (30, 160, 50)
    pixels[height // 2 :, : width // 2] = (40, 60, 225)
    pixels[height // 2 :, width // 2 :] = 255
    return ImageRef(pixels)


def measured(arguments: dict[str, Any], *images: ImageRef, coords: str = "rel1000", **extra: Any) -> str:
    """The text of a measurement of images shown at a quarter of their size."""
    tool = Measure(coords=coords)
    question = Question(id="q", prompt=(*images, "?"), answer="a", extra=Columns(extra.items()))
    shown = tuple(Size(image.width // 4, image.height // 4) for image in images)
    context = ToolContext(question=question, images=images, seed=0, shown=shown)
    result, state = tool.step(tool.validate(arguments), None, context)
    assert state is None
    (text,) = result.content
    assert isinstance(text, str)
    return text


def test_it_conforms_to_the_contract_of_tools() -> None:
    question = Question(id="q", prompt=(quadrants(40, 40), "?"), answer="a", extra=Columns({"km_per_pixel": 2}.items()))
    for arguments in ({"points": [[1, 2], [30, 40]]}, {"points": [[5, 5]]}, {"bbox_2d": [0, 0, 500, 500]}):
        check_tool(Measure(), arguments=arguments, question=question)


def test_it_is_a_pure_tool_without_state() -> None:
    tool = Measure()
    assert isinstance(tool, Tool)
    assert (tool.name, tool.effects, tool.timeout_s, tool.coords) == ("measure", Effects.PURE, None, Coords.REL1000)
    assert list(tool.parameters["properties"]) == ["points", "bbox_2d", "label", "img_idx"]


@pytest.mark.parametrize(
    ("coords", "points"),
    [
        # (40, 20) and (70, 60) of 400 x 200 original pixels: 30 across, 40 down.
        ("rel1000", [[100, 100], [175, 300]]),
        ("abs_resized", [[10, 5], [17.5, 15]]),
        ("abs_original", [[40, 20], [70, 60]]),
        ("norm1", [[0.1, 0.1], [0.175, 0.3]]),
    ],
)
def test_a_distance_is_in_original_pixels_in_every_convention(coords: str, points: list[list[float]]) -> None:
    assert measured({"points": points}, quadrants(400, 200), coords=coords) == "distance: 50.0 pixels"


def test_kilometres_are_told_of_the_first_image_where_the_question_states_a_scale() -> None:
    image = quadrants(400, 200)
    line = {"points": [[100, 100], [175, 300]]}
    assert measured(line, image, km_per_pixel=0.25) == "distance: 50.0 pixels, 12.5 km"
    assert measured(line, image, km_per_pixel=300) == "distance: 50.0 pixels, 15000 km"
    assert measured({**line, "img_idx": 1}, image, image, km_per_pixel=0.25) == "distance: 50.0 pixels"
    box = measured({"bbox_2d": [0, 0, 500, 500]}, image, km_per_pixel=0.25)
    assert "size: 200.0 x 100.0 pixels, 50 x 25 km;" in box


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), 10**400, "0.25", True, None])
def test_what_is_no_scale_is_none(scale: Any) -> None:
    assert measured({"points": [[0, 0], [0, 500]]}, quadrants(400, 200), km_per_pixel=scale).endswith("100.0 pixels")


def test_a_point_has_the_colour_of_the_pixel_that_it_lies_in_up_to_the_far_edges() -> None:
    image = quadrants(400, 200)
    assert measured({"points": [[499, 499]]}, image) == "colour: red, RGB (220, 30, 30); pixel x 199, y 99"
    assert measured({"points": [[500, 499]]}, image) == "colour: green, RGB (30, 160, 50); pixel x 200, y 99"
    assert measured({"points": [[1000, 1000]]}, image) == "colour: white, RGB (255, 255, 255); pixel x 399, y 199"


def test_a_box_has_the_mean_of_its_pixels_and_its_edges() -> None:
    # Half red, half green: (220 + 30) / 2, (30 + 160) / 2, (30 + 50) / 2.
    assert measured({"bbox": [400, 0, 600, 400]}, quadrants(400, 200)) == (
        "mean colour: brown, RGB (125, 95, 40); size: 80.0 x 80.0 pixels; left 160.0, top 0.0, right 240.0, bottom 80.0"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give either points or bbox_2d; got neither"),
        ({"points": [[1, 2]], "bbox_2d": [1, 2, 3, 4]}, "got both"),
        ({"bbox": [1, 2, 3, 4], "bbox_2d": [1, 2, 3, 4]}, "bbox_2d is given twice"),
        ({"points": []}, r"list of one or two points, each \[x, y\]; got \[\]"),
        ({"points": [[1, 2]] * 3}, "list of one or two points"),
        ({"points": [1, 2]}, r"each of points must be a list of 2 numbers, \[x, y\]; got 1"),
        ({"points": [[1, 2, 3]]}, "list of 2 numbers"),
        ({"points": [[1, "2"]]}, "each of points must hold numbers; got '2'"),
        ({"points": [[1, True]]}, "must hold numbers; got True"),
        ({"points": [[1, 10**400]]}, "too large"),
        ({"points": [[1, 2]], "img_idx": -1}, "img_idx must be an integer from 0; got -1"),
        ({"points": [[1, 2]], "label": 3}, "label must be a string; got 3"),
        ({"points": [[1, 2]], "unit": "km"}, "unknown argument 'unit'"),
        ({"bbox_2d": [1, 2, 3]}, "bbox_2d must be a list of 4 numbers"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_a_reason(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        Measure().validate(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [[1, 1001]]}, r"the point \[1, 1001\] lies outside the image: x must be 0 to 1000 and y 0 to 1000"),
        ({"points": [[0, 0], [float("nan"), 0]]}, "the numbers of a point must be finite"),
        ({"bbox_2d": [500, 0, 400, 10]}, "has swapped edges"),
        ({"points": [[1, 1]], "img_idx": 1}, "there is no image number 1: img_idx must be 0 to 0"),
    ],
)
def test_places_that_are_not_there_are_errors_that_the_policy_reads(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolError, match=message):
        measured(arguments, quadrants(40, 40))


def test_its_calls_are_drawn_where_they_measured() -> None:
    seen = [Seen(original=Size(400, 200), shown=Size(100, 50))]
    tool = Measure()
    assert tool.marks({"points": [[100, 100]]}, seen) == (Mark(image=0, left=40, top=20, width=0, height=0),)
    assert tool.marks({"bbox_2d": [0, 0, 500, 500]}, seen) == (Mark(image=0, left=0, top=0, width=200, height=100),)


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(EnvConfigError, match="coords must be one of rel1000"):
        Measure(coords="rel100")


def test_colours_have_the_names_that_people_give_them() -> None:
    assert all(colour_name(rgb) == name for name, standings in COLOUR_NAMES.items() for rgb in standings)
    named = {colour.name: colour_name(colour.rgb) for colour in COLOURS}
    assert named.pop("magenta") == "pink"
    assert all(name == given for name, given in named.items())
    assert [colour_name(rgb) for rgb in ((0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0))] == [
        "black", "white", "grey", "red",
    ]  # fmt: skip


@settings(max_examples=60)
@given(st.integers(2, 90), st.integers(2, 90), st.data())
def test_every_box_and_point_within_the_image_is_measured(width: int, height: int, data: st.DataObject) -> None:
    image = ImageRef(np.full((height, width, 3), 77, dtype=np.uint8))
    x, y = data.draw(st.floats(0, width)), data.draw(st.floats(0, height))
    assert "grey, RGB (77, 77, 77)" in measured({"points": [[x, y]]}, image, coords="abs_original")
    left, top = data.draw(st.floats(0, width - 1.01)), data.draw(st.floats(0, height - 1.01))
    box = [left, top, data.draw(st.floats(left + 1.001, width)), data.draw(st.floats(top + 1.001, height))]
    assert "grey, RGB (77, 77, 77)" in measured({"bbox_2d": box}, image, coords="abs_original")
