"""How an environment shows images: reduced or by a view of its own, and always as it says."""

from __future__ import annotations

import io
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from axpo_envs import EnvConfigError, ExactMatch, ImageRef, ListQuestions, Question, Snapshot, ToolEnvSpec
from axpo_envs.examples import call_turn
from axpo_envs.imaging import showing as showing_module
from axpo_envs.imaging.showing import Showing
from axpo_envs.suite.tool_task.env import ENV_ID, ToolTask
from axpo_envs.tools import ToolContext, tool
from axpo_envs.tools.image_zoom_in import ImageZoomIn
from axpo_envs.types import Parts, ToolStatus

ROW = {"id": "q", "prompt": "?", "answer": "x"}


def make(**settings: Any) -> ToolTask:
    env = gymnasium.make(ENV_ID, **{"questions": [ROW], **settings})
    assert isinstance(env, ToolTask)
    return env


def image(width: int, height: int, seed: int = 0) -> ImageRef:
    return ImageRef(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def halved(whole: ImageRef) -> ImageRef:
    return ImageRef(whole.pixels[::2, ::2].copy())


sizes = st.integers(1, 60)


@given(st.lists(st.tuples(sizes, sizes), max_size=3), st.none() | sizes, st.none() | sizes, st.booleans())
def test_what_is_said_of_sizes_is_what_is_shown(
    shapes: list[tuple[int, int]], view_size: int | None, result_view_size: int | None, own_view: bool
) -> None:
    showing = Showing(
        view_size=None if own_view else view_size, result_view_size=result_view_size, view=halved if own_view else None
    )
    parts: Parts = ("text", *(image(*shape) for shape in shapes))
    for shown, told, limit in (
        (showing.of_question(parts), showing.sizes_of_question(parts), None if own_view else view_size),
        (showing.of_result(parts), showing.sizes_of_result(parts), result_view_size),
    ):
        assert shown[0] == "text"
        images = [part for part in shown if isinstance(part, ImageRef)]
        assert tuple(part.size for part in images) == told
        assert limit is None or all(max(part.size) <= limit for part in images)


def test_a_reduced_view_is_made_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing_module, "_KEPT_BYTES", 2 * 5 * 5 * 3)
    showing = Showing(view_size=5)
    first, second, third = (showing.of_question((image(10, 10, seed),))[0] for seed in range(3))
    assert showing.of_question((image(10, 10, 2),))[0] is third
    assert showing.of_question((image(10, 10, 1),))[0] is second
    again = showing.of_question((image(10, 10, 0),))[0]
    assert again is not first
    assert again == first


def test_it_travels_to_other_processes() -> None:
    showing = pickle.loads(pickle.dumps(Showing(view_size=5, background=(1, 2, 3))))
    assert showing.sizes_of_question((image(10, 5),)) == ((5, 2),)
    assert showing.background == (1, 2, 3)


def test_a_context_without_sizes_says_that_images_were_shown_as_they_are() -> None:
    question = Question(id="q", prompt=("?",), answer="")
    context = ToolContext(question=question, images=(image(3, 2),), seed=0)
    assert context.shown == ((3, 2),)
    with pytest.raises(ValueError, match="a shown size for each of 1 images; got 2"):
        ToolContext(question=question, images=(image(3, 2),), seed=0, shown=((3, 2), (1, 1)))


def test_a_spec_with_two_views_or_none_of_a_size_is_refused() -> None:
    questions = ListQuestions([Question(id="q", prompt=("?",), answer="")])

    def spec(**fields: object) -> ToolEnvSpec:
        return ToolEnvSpec(env_id="x", questions=questions, tools=(), reward=ExactMatch(), **fields)  # type: ignore[arg-type]

    with pytest.raises(EnvConfigError, match="expected view or view_size; got both"):
        spec(view=halved, view_size=3)
    for name in ("view_size", "result_view_size"):
        with pytest.raises(EnvConfigError, match=f"expected {name} >= 1 pixel, or None; got 0"):
            spec(**{name: 0})
    assert len({spec().fingerprint, spec(view_size=3).fingerprint, spec(result_view_size=3).fingerprint}) == 3


def ramp(width: int, height: int) -> np.ndarray[Any, Any]:
    """The first channel grows from left to right: a pixel tells where it comes from."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.arange(width) * 255 // (width - 1)
    return pixels


@tool
def screenshot() -> Any:
    """Takes a picture."""
    return [ramp(800, 400), ramp(400, 200)]


def right_edge(env: ToolTask, box: list[float], image: int = 0) -> int:
    """Where in an image of 800 pixels a box ends that is written in pixels as shown."""
    (crop,) = env.step(call_turn("image_zoom_in", {"bbox_2d": box, "img_idx": image}))[0]["images"]
    return round(float(crop[crop.shape[0] // 2, -2, 0]) * 799 / 255)


@pytest.mark.parametrize(
    ("view_size", "zoom", "shown", "box"),
    [
        (None, {"view_size": 200}, 800, [0, 0, 100, 50]),
        (200, {"view_size": 200}, 200, [0, 0, 25, 12.5]),
        (400, {}, 400, [0, 0, 50, 25]),
        (900, {}, 800, [0, 0, 100, 50]),
    ],
)
def test_boxes_in_pixels_as_shown_are_cut_where_the_policy_saw_them(
    view_size: int | None, zoom: dict[str, Any], shown: int, box: list[float]
) -> None:
    tools = [ImageZoomIn(coords="abs_resized", **zoom)]
    env = make(questions=[{**ROW, "images": ramp(800, 400)}], tools=tools, view_size=view_size)
    observation, _ = env.reset(seed=0)
    assert observation["images"][0].shape[1] == shown
    assert abs(right_edge(env, box) - 100) <= 8


@pytest.mark.parametrize(("result_view_size", "shown"), [(None, 800), (200, 200), (1000, 800)])
def test_images_of_tools_are_shown_at_a_size_of_their_own_and_remembered_in_every_branch(
    result_view_size: int | None, shown: int
) -> None:
    settings = {
        "questions": [{**ROW, "images": ramp(80, 40)}],
        "tools": [ImageZoomIn(coords="abs_resized"), screenshot],
        "view_size": 40,
        "result_view_size": result_view_size,
        "max_turns": 9,
    }
    env = make(**settings)
    env.reset(seed=0)
    # The crop sees the pictures that the call before it in the same turn has shown.
    both = call_turn("screenshot", {}) + call_turn("image_zoom_in", {"bbox_2d": [0, 0, shown / 8, 9], "img_idx": 1})
    images = env.step(both)[0]["images"]
    assert [image.shape[1] for image in images] == [shown, min(shown, 400), 40]
    assert abs(int(images[2][20, -2, 0]) - 31) <= 3
    assert env.shown_sizes(env.state) == (
        (40, 20),
        (shown, shown // 2),
        (min(shown, 400), min(shown, 400) // 2),
        (40, 40),
    )
    moment = env.snapshot()
    assert abs(right_edge(env, [0, 0, shown / 8, shown / 16], image=1) - 100) <= 10
    env.restore(Snapshot.from_bytes(moment.to_bytes()))
    assert abs(right_edge(env, [0, 0, shown / 8, shown / 16], image=1) - 100) <= 10
    other = make(**settings)
    other.restore(moment)
    assert abs(right_edge(other, [0, 0, shown / 8, shown / 16], image=1) - 100) <= 10


def test_a_zoom_that_contradicts_the_tasks_view_is_refused_before_questions_are_read() -> None:
    with pytest.raises(EnvConfigError, match="image_zoom_in has view_size=200, its environment view_size=400"):
        make(questions="nowhere.jsonl", tools=[ImageZoomIn(view_size=200)], view_size=400)
    with pytest.raises(EnvConfigError, match="image_zoom_in needs view_size"):
        make(questions="nowhere.jsonl", tools=[ImageZoomIn()])


def test_transparent_images_of_questions_and_tools_are_laid_on_the_background() -> None:
    clear = Image.new("RGBA", (2, 2), (9, 9, 9, 0))

    @tool
    def draw() -> Any:
        """Draws."""
        return [clear, np.zeros((2, 2, 4), np.uint8)]

    @tool(timeout_s=60.0)
    def draw_apart() -> Any:
        """Draws in a process of its own."""
        return Image.new("RGBA", (2, 2), (9, 9, 9, 0))

    fingerprints = set()
    for background, level in (("white", 255), ((9, 9, 9), 9), ("black", 0)):
        data = io.BytesIO()
        clear.save(data, "PNG")
        images = [clear, data.getvalue()]
        env = make(questions=[{**ROW, "images": images}], tools=[draw, draw_apart], background=background)
        shown = [
            *env.reset(seed=0)[0]["images"],
            *env.step(call_turn("draw", {}) + call_turn("draw_apart", {}))[0]["images"],
        ]
        assert [set(image.ravel().tolist()) for image in shown] == [{level}] * 5
        fingerprints.add((env.questions.fingerprint, env.rules.fingerprint))
    assert len(fingerprints) == 3
    with pytest.raises(EnvConfigError, match="background: "):
        make(background="transparent-ish")


def test_an_image_that_a_tool_cannot_show_is_its_error() -> None:
    png = ImageRef(ramp(64, 64)).to_png()

    @tool
    def half() -> Any:
        """Opens half a file."""
        return Image.open(io.BytesIO(png[: len(png) // 2]))

    @tool
    def many() -> Any:
        """Shows too many."""
        return [np.zeros((1, 1, 3), np.uint8)] * 257

    env = make(tools=[half, many])
    env.reset(seed=0)
    assert (
        "Error: the tool's image cannot be shown: image file is truncated" in env.step(call_turn("half", {}))[0]["text"]
    )
    assert "expected at most 256 images; got 257" in env.step(call_turn("many", {}))[0]["text"]
    assert [turn.calls[0].result.status for turn in env.state.turns] == [ToolStatus.ERROR] * 2
