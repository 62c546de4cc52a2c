"""The tool `ocr`: a rendered sign is read by the real models; everything around them is tried without."""

from __future__ import annotations

import sys
from typing import Any

import cv2
import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from axpo_envs import EnvConfigError, ImageRef, Question, call_turn
from axpo_envs.images import Size
from axpo_envs.imaging.coordinates import Coords, PixelBox, pixel_box, written_box
from axpo_envs.plumbing.extras import MissingExtraError
from axpo_envs.testing import check_tool
from axpo_envs.tools import Effects, ImageZoomIn, Ocr, Seen, ToolArgumentError, ToolContext, ToolError
from axpo_envs.tools import _text_reader as reader
from axpo_envs.tools.ocr import MAX_PIECES, _outwards

SIGN = (200, 100, 460, 190)
"""Where the sign hangs, in pixels."""


def picture() -> ImageRef:
    """A sign on a green wall, and small letters at the bottom."""
    image = Image.new("RGB", (640, 400), (60, 120, 60))
    draw = ImageDraw.Draw(image)
    draw.rectangle(SIGN, fill="white")
    draw.text((215, 115), "Platform 42", fill="black", font=ImageFont.load_default(40))
    draw.text((20, 350), "Exit B12", fill="white", font=ImageFont.load_default(24))
    return ImageRef.from_pil(image)


PICTURE = picture()


def context(*images: ImageRef) -> ToolContext:
    return ToolContext(question=Question(id="q", prompt=images, answer=""), images=images, seed=0)


def read(tool: Ocr, arguments: dict[str, Any], *images: ImageRef) -> list[str]:
    result, state = tool.step(tool.validate(arguments), None, context(*images))
    assert state is None
    (text,) = result.content
    assert isinstance(text, str)
    return text.splitlines()


def boxes(rows: list[str]) -> list[list[float]]:
    return [[float(number) for number in row.partition("[")[2].partition("]")[0].split(",")] for row in rows]


def test_a_sign_is_read_with_its_box_and_the_box_can_be_zoomed_into() -> None:
    rows = read(Ocr(), {}, PICTURE)
    assert [row.partition(" (box")[0] for row in rows] == ["1. Platform 42", "2. Exit B12"]
    assert all(float(row.rpartition(" ")[2].rstrip(")")) > 0.9 for row in rows)
    sign = pixel_box(boxes(rows)[0], Coords.REL1000, original=PICTURE.size, shown=PICTURE.size)
    assert SIGN[0] <= sign.left < sign.right <= SIGN[2]
    assert SIGN[1] <= sign.top < sign.bottom <= SIGN[3]
    # It spans most of the sign.
    assert sign.width > 0.7 * (SIGN[2] - SIGN[0])
    zoom = ImageZoomIn(view_size=64)
    crop, _ = zoom.step(zoom.validate({"bbox_2d": boxes(rows)[0]}), None, context(PICTURE))
    assert crop.content[0] == "crop"


def test_words_of_a_box_lie_in_the_whole_image() -> None:
    tool = Ocr(coords="abs_original")
    rows = read(tool, {"img_idx": 1, "bbox_2d": [190, 90, 470.5, 200], "words": True}, PICTURE, PICTURE)
    assert [row.partition(" (box")[0] for row in rows] == ["1. Platform", "2. 42"]
    first, second = boxes(rows)
    assert 200 <= first[0] < first[2] <= second[0] < second[2] <= 460
    assert 100 <= min(first[1], second[1]) < max(first[3], second[3]) <= 190


def test_where_nothing_is_written_nothing_is_read() -> None:
    threads = cv2.getNumThreads()
    assert read(Ocr(), {}, ImageRef(np.full((40, 60, 3), 90, np.uint8))) == ["No text was found."]
    # A strip is no trouble for the models, and the process keeps its threads.
    assert reader.read_text(ImageRef(np.zeros((2, 300, 3), np.uint8)), words=True, longest_side=64) == ()
    assert cv2.getNumThreads() == threads


def test_the_tool_keeps_its_contract() -> None:
    # The models enlarge a strip more than a square.
    small = ImageRef(PICTURE.pixels[20:280, 200:460].copy())
    question = Question(id="q", prompt=(small, "?"), answer="")
    check_tool(Ocr(longest_side=130), arguments={"words": True}, question=question, fuzz=0)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[reader.ReadText]:
    """What the models are taken to read."""
    pieces: list[reader.ReadText] = []
    monkeypatch.setattr("axpo_envs.tools.ocr.read_text", lambda image, *, words, longest_side: tuple(pieces))
    return pieces


def piece(text: str, confidence: float = 0.9, box: tuple[int, int, int, int] = (1, 2, 3, 4)) -> reader.ReadText:
    return reader.ReadText(text=text, box=PixelBox(*box), confidence=confidence)


@pytest.mark.parametrize(
    ("coords", "expected"),
    [
        # The box from (1, 2) to (3, 4) of the crop at (32, 20), in an image of 640 x 400 that was shown as 320 x 200.
        ("abs_original", "[33, 22, 35, 24]"),
        ("abs_resized", "[16, 11, 18, 12]"),
        ("rel1000", "[51, 55, 55, 60]"),
        ("norm1", "[0.051, 0.055, 0.055, 0.060]"),
    ],
)
def test_boxes_are_written_in_the_convention_and_rounded_outwards(
    scripted: list[reader.ReadText], coords: str, expected: str
) -> None:
    scripted.append(piece("A"))
    tool = Ocr(coords=coords)
    given = ToolContext(
        question=Question(id="q", prompt=(PICTURE,), answer=""), images=(PICTURE,), seed=0, shown=(Size(320, 200),)
    )
    written = written_box(PixelBox(32, 20, 132, 120), tool.coords, original=PICTURE.size, shown=given.shown[0])
    result, _ = tool.step(tool.validate({"bbox_2d": list(written)}), None, given)
    assert result.content == (f"1. A (box {expected}, confidence 0.90)",)


@given(
    corner=st.tuples(st.floats(0, 600), st.floats(0, 380)),
    sides=st.tuples(st.floats(1, 40), st.floats(1, 20)),
    coords=st.sampled_from(Coords),
    shown=st.sampled_from([Size(640, 400), Size(64, 40), Size(101, 63)]),
)
def test_a_rounded_box_holds_the_text_and_can_be_read(
    corner: tuple[float, float], sides: tuple[float, float], coords: Coords, shown: Size
) -> None:
    original = Size(640, 400)
    box = PixelBox(corner[0], corner[1], corner[0] + sides[0], corner[1] + sides[1])
    seen = Seen(original=original, shown=shown)
    numbers = _outwards(written_box(box, coords, original=original, shown=shown), coords, seen)
    again = pixel_box([float(number) for number in numbers], coords, original=original, shown=shown)
    slack = 0.01
    assert again.left <= box.left + slack
    assert again.top <= box.top + slack
    assert again.right >= box.right - slack
    assert again.bottom >= box.bottom - slack


def test_doubtful_pieces_are_left_out_and_many_are_counted(scripted: list[reader.ReadText]) -> None:
    scripted += [piece("sure"), piece("doubtful", 0.49), piece("x" * 501)]
    assert [row.partition(" (box")[0] for row in read(Ocr(), {}, PICTURE)] == ["1. sure", f"2. {'x' * 497}..."]
    assert len(read(Ocr(least_confidence=0), {}, PICTURE)) == 3
    scripted[:] = [piece("a")] * (MAX_PIECES + 7)
    assert read(Ocr(), {}, PICTURE)[-1] == "[... 7 more ...]"
    scripted.clear()
    assert read(Ocr(), {}, PICTURE) == ["No text was found."]


def test_what_the_models_give_becomes_one_line_within_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = np.array([[-4, 10], [50, 12], [50, 220], [-4, 20]])
    found = [(" two\n lines ", 0.5, corners), (" ", 0.9, corners), ("outside", 0.9, corners + 200)]
    monkeypatch.setattr(reader._READER, "read", lambda pixels, *, words: found)
    image = ImageRef(np.zeros((200, 100, 3), np.uint8))
    # Reduced to 100 pixels, the image is 50 wide: twice the corners, and no further than its edges.
    (one,) = reader.read_text(image, words=False, longest_side=100)
    assert (one.text, one.confidence, one.box) == ("two lines", 0.5, (0, 20, 100, 200))


@pytest.mark.parametrize(("shape", "padded"), [((1, 1), (32, 32)), ((400, 10), (400, 100)), ((50, 60), (50, 60))])
def test_strips_and_specks_get_a_margin_of_their_mean_colour(shape: tuple[int, int], padded: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), 40, np.uint8)
    made = reader._padded(pixels)
    assert made.shape == (*padded, 3)
    assert (made == 40).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "x"}, "unknown argument 'text'; known are img_idx, bbox_2d and words"),
        ({"words": 1}, "words must be true or false; got 1"),
        ({"img_idx": True}, "img_idx must be an integer"),
        ({"bbox": "all"}, "bbox_2d must be a list of 4 numbers"),
    ],
)
def test_wrong_arguments_are_told(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        Ocr().validate(arguments)


def test_what_cannot_be_read_is_told() -> None:
    tool = Ocr()
    with pytest.raises(ToolError, match="there is no image number 1"):
        tool.step(tool.validate({"img_idx": 1}), None, context(PICTURE))
    (mark,) = tool.marks({"bbox_2d": [0, 0, 500, 500]}, [Seen(original=PICTURE.size, shown=PICTURE.size)])
    assert (mark.image, mark.width, mark.height) == (0, 320, 200)
    assert (tool.effects, tool.timeout_s) == (Effects.PURE, None)
    assert "rapidocr" in tool.fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coords": "pixels"}, "coords must be one of"),
        ({"least_confidence": 1.5}, "least_confidence must be from 0 to 1"),
        ({"longest_side": 31}, "longest_side must be at least 32"),
    ],
)
def test_unusable_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        Ocr(**settings)


def test_a_missing_package_or_model_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "rapidocr", None)
        with pytest.raises(MissingExtraError, match=r"the tool ocr needs rapidocr: pip install 'axpo\[ocr\]'"):
            Ocr()
    monkeypatch.setitem(reader._MODELS, "Rec", "another.onnx")
    with pytest.raises(EnvConfigError, match=r"expected the model another.onnx in .*models, as rapidocr 3.10 brings"):
        Ocr()


def test_a_task_names_it_as_text(scripted: list[reader.ReadText]) -> None:
    scripted.append(piece("Platform 42", box=(210, 115, 426, 163)))
    env = gymnasium.make(
        "axpo/ToolTask-v0",
        questions=[{"id": "sign", "prompt": "What does it say?", "answer": "Platform 42", "images": [PICTURE]}],
        tools="ocr",
    ).unwrapped
    env.reset(seed=0)
    observation, *_ = env.step(call_turn("ocr", {}))
    assert observation["text"] == (
        "<tool_response>\n1. Platform 42 (box [328, 287, 666, 408], confidence 0.90)\n</tool_response>"
    )
