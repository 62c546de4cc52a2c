import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from axpo.algorithm.types import Group
from axpo.records._rollout_log import read_rollouts, write_rollouts
from axpo.report._pictures import Album, Box, Picture
from axpo.report._rollout_view import RolloutView, Tone, pieces_of, view_rollout
from axpo_agents.types import Rollout
from axpo_envs.images import ImageRef
from axpo_envs.imaging.coordinates import Coords
from axpo_envs.tool.marks import Mark, Seen
from axpo_envs.tools import ImageZoomIn
from axpo_envs.types import CallOutcome, CallRecord, Question, ToolCall, ToolResult, ToolStatus

FROZEN = "<think>I cannot read it: zoom in.</think>\n<tool_call>"


def viewed(folder: Path, rollout: Rollout, coords: Coords = Coords.REL1000) -> RolloutView:
    tools = (ImageZoomIn(view_size=40, coords=coords),)
    group = Group(question=rollout.episode.question, rollouts=(rollout,))
    write_rollouts(folder, 1, [group], limit=0, tools=tools)
    return view_rollout(read_rollouts(folder, 1)[0], Album(rollouts=folder))


def on_scene(rollout: Rollout, width: int, height: int) -> Rollout:
    """The same rollout on an image of another size."""
    question = Question(id="q", prompt=(ImageRef(np.zeros((height, width, 3), np.uint8)), "?"), answer="7")
    return replace(rollout, episode=replace(rollout.episode, question=question))


def calling(rollout: Rollout, *calls: CallRecord) -> Rollout:
    """The same rollout with these calls in its first turn."""
    first, *others = rollout.episode.turns
    return replace(rollout, episode=replace(rollout.episode, turns=(replace(first, calls=calls), *others)))


def zoom(arguments: str, outcome: CallOutcome = CallOutcome.EXECUTED) -> CallRecord:
    crop = ImageRef(np.full((40, 40, 3), 9, np.uint8))
    call = ToolCall(name="image_zoom_in", arguments=arguments)
    return CallRecord(call=call, outcome=outcome, result=ToolResult(content=("crop", crop)))


def corners(picture: Picture) -> list[tuple[float, float, float, float]]:
    return [(box.x, box.y, box.width, box.height) for box in picture.boxes]


def test_a_box_is_drawn_at_its_pixels(tmp_path: Path, group: Group) -> None:
    # The image has 200 x 100 pixels; [500, 250, 750, 500] thousandths of them.
    continuation = group.branches[0].continuations[1]
    scene = viewed(tmp_path, continuation).scenes[0]
    assert (scene.width, scene.height) == (200, 100)
    assert scene.boxes == (Box(x=100.0, y=25.0, width=50.0, height=25.0, label="1"),)


def test_a_box_shrinks_with_its_image(tmp_path: Path, group: Group) -> None:
    # 1536 x 768 pixels are reduced to 384 x 192.
    scene = viewed(tmp_path, on_scene(group.branches[0].continuations[1], 1536, 768)).scenes[0]
    assert (scene.width, scene.height) == (384, 192)
    assert corners(scene) == [(192.0, 48.0, 96.0, 48.0)]


@pytest.mark.parametrize(
    ("coords", "box"), [(Coords.NORM1, "[0.5, 0.5, 1, 1]"), (Coords.ABS_ORIGINAL, "[100, 50, 200, 100]")]
)
def test_other_conventions_of_boxes_are_understood(tmp_path: Path, group: Group, coords: Coords, box: str) -> None:
    view = viewed(tmp_path, calling(group.rollouts[0], zoom(f'{{"bbox": {box}}}')), coords)
    assert corners(view.scenes[0]) == [(100.0, 50.0, 100.0, 50.0)]


def test_pixels_of_the_shown_image_are_scaled_to_the_original(tmp_path: Path, group: Group) -> None:
    # The policy saw 20 x 10 of the 200 x 100 pixels.
    record = zoom('{"bbox_2d": [5, 5, 10, 10]}')
    view = viewed(tmp_path, calling(group.rollouts[0], record), Coords.ABS_RESIZED)
    assert corners(view.scenes[0]) == [(50.0, 50.0, 50.0, 50.0)]


def test_a_box_within_a_crop_is_drawn_on_the_crop(tmp_path: Path, group: Group) -> None:
    calls = zoom('{"bbox_2d": [0, 0, 500, 500]}'), zoom('{"bbox_2d": [0, 0, 250, 500], "img_idx": 1}')
    view = viewed(tmp_path, calling(group.rollouts[0], *calls))
    first, second = view.turns[0].replies
    assert [box.label for box in view.scenes[0].boxes] == ["1"]
    assert first.pictures[0].boxes == (Box(x=0.0, y=0.0, width=10.0, height=20.0, label="2"),)
    assert second.pictures[0].boxes == ()


@pytest.mark.parametrize(
    "arguments",
    [
        '{"bbox_2d": [900, 0, 1200, 100]}',
        '{"bbox_2d": "everywhere"}',
        '{"bbox_2d": [0, 0, 10, 10], "img_idx": 7}',
        '{"bbox_2d": [0, 0, 10, 10], "img_idx": "one"}',
        '{"query": "capital of Peru"}',
        "[1, 2",
        "7",
    ],
)
def test_a_call_without_a_usable_box_draws_nothing(tmp_path: Path, group: Group, arguments: str) -> None:
    view = viewed(tmp_path, calling(group.rollouts[0], zoom(arguments)))
    assert view.scenes[0].boxes == ()


def test_a_call_that_was_not_executed_draws_nothing_and_says_why(tmp_path: Path, group: Group) -> None:
    record = zoom('{"bbox_2d": [0, 0, 10, 10]}', CallOutcome.OVER_LIMIT)
    failed = zoom('{"bbox_2d": [0, 0, 500, 500]}')
    failed = replace(failed, result=ToolResult(status=ToolStatus.TIMEOUT))
    view = viewed(tmp_path, calling(group.rollouts[0], record, failed))
    assert [box.label for box in view.scenes[0].boxes] == ["2"]
    assert [(reply.status, reply.ok) for reply in view.turns[0].replies] == [("over limit", False), ("timeout", False)]


def test_pictures_hold_the_image_small_ones_exactly(tmp_path: Path, group: Group) -> None:
    view = viewed(tmp_path, group.rollouts[0])
    small = view.shown[0]
    assert small.source.startswith("data:image/png;base64,")
    assert small.pixelated
    with Image.open(io.BytesIO(base64.b64decode(small.source.partition(",")[2]))) as image:
        assert np.array_equal(np.asarray(image), np.full((10, 20, 3), 91))
    assert view.scenes[0].source.startswith("data:image/jpeg;base64,")
    assert not view.scenes[0].pixelated


def test_the_frozen_prefix_is_marked_up_to_the_opening_of_the_call(tmp_path: Path, group: Group) -> None:
    write_rollouts(tmp_path, 1, [group], limit=0)
    source, *_, continuation = read_rollouts(tmp_path, 1)
    for rollout in (source, continuation):
        view = view_rollout(rollout, Album(rollouts=tmp_path), cut=source.branches[0].cut)
        first, second = view.turns
        assert "".join(piece.text for piece in first.pieces if piece.frozen) == FROZEN
        assert "".join(piece.text for piece in first.pieces) == rollout.turns[0].text
        assert not any(piece.frozen for piece in second.pieces)


def test_turns_before_the_cut_one_are_frozen_whole(tmp_path: Path, group: Group) -> None:
    write_rollouts(tmp_path, 1, [group], limit=0)
    source = read_rollouts(tmp_path, 1)[0]
    cut = replace(source.branches[0].cut, turn=1, token=0)
    first, second = view_rollout(source, Album(rollouts=tmp_path), cut=cut).turns
    assert all(piece.frozen for piece in first.pieces)
    assert not any(piece.frozen for piece in second.pieces)


def test_each_part_of_a_turn_has_its_tone() -> None:
    text = 'Hm <think>a <tool_call></think><tool_call>{"name": "f"}</tool_call>so <answer>7</answer>'
    assert [(piece.text, piece.tone) for piece in pieces_of(text, 0)] == [
        ("Hm ", Tone.TEXT),
        ("<think>a <tool_call></think>", Tone.THINKING),
        ('<tool_call>{"name": "f"}</tool_call>', Tone.CALL),
        ("so ", Tone.TEXT),
        ("<answer>7</answer>", Tone.ANSWER),
    ]


TURNS = st.lists(
    st.sampled_from(["<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>", "x", " "])
)


@given(parts=TURNS, cut=st.integers(0, 40))
def test_pieces_are_the_text_whatever_it_is(parts: list[str], cut: int) -> None:
    text = "".join(parts)
    pieces = pieces_of(text, min(cut, len(text)))
    assert "".join(piece.text for piece in pieces) == text
    assert "".join(piece.text for piece in pieces if piece.frozen) == text[: min(cut, len(text))]
    assert all(piece.text for piece in pieces)


def test_a_turn_is_shown_with_its_verdict(tmp_path: Path, group: Group) -> None:
    write_rollouts(tmp_path, 1, [group], limit=0)
    wrong, right = (view_rollout(read_rollouts(tmp_path, 1)[index], Album(rollouts=tmp_path)) for index in (0, 1))
    assert (wrong.correct, wrong.used_tool, wrong.stop) == (False, True, "answered")
    assert (right.correct, right.used_tool, right.reward) == (True, False, 1.0)
    assert right.question == "What is on the <b>red</b> sign?"


class Pointing:
    """A tool of somebody else's, whose calls point at pixels."""

    name = "point"

    def marks(self, arguments: Mapping[str, Any], images: Sequence[Seen]) -> list[Mark]:
        assert [seen.original for seen in images[:1]] == [(200, 100)]
        return [Mark(image=0, left=arguments["x"], top=arguments["y"], width=0, height=0, label="here")]


def test_a_tool_from_outside_says_how_its_calls_are_drawn(tmp_path: Path, group: Group) -> None:
    call = ToolCall(name="point", arguments='{"x": 20, "y": 10}')
    record = CallRecord(call=call, outcome=CallOutcome.EXECUTED, result=ToolResult(content=("ok",)))
    rollout = calling(group.rollouts[0], record, replace(record, call=replace(call, arguments="[]")))
    one = Group(question=rollout.episode.question, rollouts=(rollout,))
    write_rollouts(tmp_path, 1, [one], limit=0, tools=(Pointing(),))  # type: ignore[arg-type]
    view = view_rollout(read_rollouts(tmp_path, 1)[0], Album(rollouts=tmp_path))
    assert view.scenes[0].boxes == (Box(x=20.0, y=10.0, width=0.0, height=0.0, label="here"),)
