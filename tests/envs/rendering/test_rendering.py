"""What people see: frames of one size with the boxes of calls, the terminal, and nothing that was not asked for."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import ImageRef, InfrastructureFault, ListQuestions, Question, ToolEnv, call_turn
from axpo_envs.examples import BAD_TURNS
from axpo_envs.images import Size
from axpo_envs.rendering import terminal
from axpo_envs.rendering._gallery import drawn, fitting
from axpo_envs.rendering._moment import Moment, Picture, pictures_of
from axpo_envs.rendering._story import cut
from axpo_envs.rendering._typesetting import CALL_COLOURS, lines_of, wrapped
from axpo_envs.tool.marks import Mark, Seen, marks_of_calls
from axpo_envs.tools import ImageZoomIn, tool
from axpo_envs.types import CallOutcome, CallRecord, EpisodeState, ToolCall, ToolResult, Turn
from axpo_envs.vector import EpisodeVector

MakeEnv = Callable[..., ToolEnv]
FRAME = (720, 1280, 3)
GREY = ImageRef(np.full((100, 100, 3), 128, np.uint8))
ZOOM = call_turn("image_zoom_in", {"bbox_2d": [250, 250, 750, 500]})
ANSWER = "<answer>4</answer>"
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
"""Halves of surrogate pairs and control characters, too."""


@tool
def breaks() -> str:
    """Breaks."""
    raise InfrastructureFault("the server is gone")


def zooming(make_env: MakeEnv, **changes: Any) -> ToolEnv:
    asked = (
        Question(id="grey", prompt=("How grey?", GREY), answer="4"),
        Question(id="none", prompt=("Say yes.",), answer="4"),
        Question(id="many", prompt=(GREY,) * 12, answer="4"),
    )
    given: dict[str, Any] = {
        "questions": ListQuestions(asked),
        "tools": (ImageZoomIn(view_size=50), breaks),
        "render_mode": "rgb_array",
    }
    return make_env(**{**given, **changes})


def moment_of(env: ToolEnv) -> Moment:
    return Moment(title="t", state=env.state, shown=env.shown_sizes(env.state), tools=env.tools)


def holds(frame: Any, colour: tuple[int, int, int]) -> bool:
    return bool((frame == colour).all(axis=2).any())


def test_every_frame_has_one_size_whatever_there_is_to_see(make_env: MakeEnv) -> None:
    env = zooming(make_env)
    for index in range(3):
        env.reset(options={"index": index})
        for turn in ("", ZOOM, ZOOM, "<think>", ANSWER):
            frame = env.render()
            assert (frame.shape, frame.dtype) == (FRAME, np.uint8)
            if env.state.stop is None:
                env.step(turn or ZOOM)


@pytest.mark.parametrize("text", BAD_TURNS)
def test_no_turn_is_too_odd_for_a_frame(make_env: MakeEnv, text: str) -> None:
    env = zooming(make_env)
    env.reset(options={"index": 0})
    env.step(text)
    assert env.render().shape == FRAME


@given(text=ANY_TEXT)
@settings(max_examples=20)
def test_no_text_is_too_odd_for_a_frame(make_env: MakeEnv, text: str) -> None:
    env = zooming(make_env, questions=ListQuestions([Question(id=text or "x", prompt=(text, GREY), answer="4")]))
    env.reset()
    env.step(text)
    assert env.render().shape == FRAME


def test_a_box_is_drawn_where_the_call_looked() -> None:
    mark = Mark(image=0, left=25, top=25, width=50, height=25)
    image = np.asarray(drawn(Picture(number=0, image=GREY, marks=((1, mark),), recent=True), Size(200, 200)))
    red, grey = CALL_COLOURS[0], (128, 128, 128)
    # Twice as large as the original, the box reaches from (50, 50) to (150, 100).
    for x, y in ((50, 75), (150, 75), (100, 50), (100, 100)):
        assert tuple(image[y, x]) == red, (x, y)
    for x, y in ((100, 75), (45, 75), (155, 75), (100, 105)):
        assert tuple(image[y, x]) == grey, (x, y)


@pytest.mark.parametrize(
    "mark",
    [
        Mark(image=0, left=-1e300, top=0, width=1e300, height=1e300, label="\ud800\n" * 50),
        Mark(image=0, left=50, top=50, width=0, height=0),
        Mark(image=0, left=90, top=90, width=-5, height=3),
    ],
)
def test_marks_of_any_numbers_can_be_drawn(mark: Mark) -> None:
    picture = Picture(number=0, image=GREY, marks=((9, mark),), recent=True)
    assert drawn(picture, Size(30, 30)).size == (30, 30)


def test_a_frame_shows_boxes_in_the_colours_of_their_calls(make_env: MakeEnv) -> None:
    env = zooming(make_env)
    env.reset(options={"index": 0})
    assert not holds(env.render(), CALL_COLOURS[0])
    env.step(ZOOM)
    assert (holds(env.render(), CALL_COLOURS[0]), holds(env.render(), CALL_COLOURS[1])) == (True, False)
    env.step(call_turn("image_zoom_in", {"bbox_2d": [0, 0, 500, 500], "img_idx": 1}))
    (first,) = pictures_of(moment_of(env))[0].marks
    (second,) = pictures_of(moment_of(env))[1].marks
    assert (first[0], first[1].left, first[1].height) == (1, 25, 25)
    assert (second[0], second[1].left, second[1].width) == (2, 0, 25)
    assert [picture.recent for picture in pictures_of(moment_of(env))] == [False, True, True]


def test_the_frame_of_a_branch_shows_the_branch(make_env: MakeEnv) -> None:
    env = zooming(make_env)
    env.reset(options={"index": 0}, seed=1)
    moment, before = env.snapshot(), env.render()
    env.step(ZOOM)
    one = env.render()
    env.restore(moment)
    assert (env.render() == before).all()
    env.step(call_turn("image_zoom_in", {"bbox_2d": [0, 0, 900, 900]}))
    other = env.render()
    assert (other != one).any()
    env.restore(moment)
    env.step(ZOOM)
    assert (env.render() == one).all()


def test_nothing_is_rendered_unless_it_is_asked_for(make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*anything: Any, **more: Any) -> Any:
        raise AssertionError("rendered")

    monkeypatch.setattr("axpo_envs.env.frame_of", made)
    monkeypatch.setattr("axpo_envs.env.show", made)
    for mode in (None, "ansi", "rgb_array"):
        env = zooming(make_env, render_mode=mode)
        env.reset(options={"index": 0})
        moment = env.snapshot()
        env.step(ZOOM)
        env.restore(moment)
    with pytest.raises(AssertionError, match="rendered"):
        env.render()


def test_a_frame_belongs_to_whoever_asked_for_it(make_env: MakeEnv) -> None:
    env = zooming(make_env)
    env.reset(options={"index": 0})
    frame = env.render()
    frame[:] = 0
    assert env.render().any()


def test_a_vector_renders_every_episode(make_env: MakeEnv) -> None:
    vector = EpisodeVector(zooming(make_env), 2)
    vector.reset(seed=0)
    assert [frame.shape for frame in vector.render()] == [FRAME, FRAME]
    vector.close()


@pytest.mark.parametrize(
    ("count", "columns"),
    [(5, ["12345"]), (10, ["1234567890"]), (4, ["1234", "5678", "90"])],
)
def test_lines_are_as_long_as_the_panel_is_wide(count: int, columns: list[str]) -> None:
    assert wrapped("".join(columns), count) == columns


def test_indentation_and_line_breaks_stay() -> None:
    assert wrapped("def f():\n    return 1\n\nf()\n", 20) == ["def f():", "    return 1", "", "f()"]


def test_long_text_is_cut_with_a_mark_that_counts() -> None:
    assert cut("abcdefghij", 10) == "abcdefghij"
    assert cut("abcdefghijkl", 8) == "abcdef\n[... 4 characters cut ...]\nkl"


def state_of(question: str, *turns: str) -> EpisodeState:
    asked = Question(id="q", prompt=(question,), answer="")
    return EpisodeState(question=asked, seed=0, turns=tuple(Turn(text=text) for text in turns))


def test_a_panel_keeps_the_newest_turns_and_says_what_is_missing() -> None:
    lines = [line.text for line in lines_of(state_of("Q?", "one", "two", "three"), width=40, room=9)]
    assert lines == [
        "question q",
        "Q?",
        "[... 1 earlier turn ...]",
        "",
        "assistant, turn 2",
        "two",
        "",
        "assistant, turn 3",
        "three",
    ]


def test_a_mark_of_lines_says_that_characters_are_missing_among_them() -> None:
    # 20,000 letters are cut to 4,000, which are 100 lines of 40, and the mark of the cut is one of the 101 lines.
    lines = [line.text for line in lines_of(state_of("Q?", "x" * 20_000), width=40, room=40)]
    assert lines[9] == "[... more than 91 lines cut ...]"


def test_a_long_turn_is_cut_in_its_middle() -> None:
    turn = "\n".join(f"line {number}" for number in range(30))
    lines = [line.text for line in lines_of(state_of("Q?", turn), width=40, room=40)]
    assert lines[3:10] == ["assistant, turn 1", *(f"line {number}" for number in range(5)), "[... 20 lines cut ...]"]
    assert lines[10:] == [f"line {number}" for number in range(25, 30)]


@given(
    texts=st.lists(ANY_TEXT | st.text("ab \n", max_size=900), min_size=1, max_size=5),
    width=st.integers(30, 60),
    room=st.integers(20, 40),
)
@settings(max_examples=40)
def test_lines_always_fit_the_panel(texts: list[str], width: int, room: int) -> None:
    lines = lines_of(state_of(*texts), width=width, room=room)
    assert len(lines) <= room
    assert all(len(line.text) <= width for line in lines)


@given(size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
def test_a_picture_fits_its_room(size: tuple[int, int]) -> None:
    width, height = fitting(Size(*size), Size(300, 200))
    assert 1 <= width <= 300
    assert 1 <= height <= 200


def test_marks_may_refer_to_earlier_results_and_to_no_later_ones() -> None:
    def record(index: int, outcome: CallOutcome = CallOutcome.EXECUTED) -> CallRecord:
        call = ToolCall(name="image_zoom_in", arguments=f'{{"bbox_2d": [0, 0, 500, 500], "img_idx": {index}}}')
        return CallRecord(call=call, outcome=outcome, result=ToolResult(content=("crop", GREY)))

    calls = (record(1), record(1), record(-1), record(0, CallOutcome.OVER_LIMIT), record(4))
    seen = [Seen(original=Size(100, 100), shown=Size(100, 100))] * 6
    marks = marks_of_calls(calls, [ImageZoomIn(view_size=50)], seen)
    assert [[mark.image for mark in found] for found in marks] == [[], [1], [], [], [4]]
    assert marks_of_calls(calls, [breaks], seen) == ()


def test_human_rendering_writes_each_moment_once(make_env: MakeEnv, capsys: pytest.CaptureFixture[str]) -> None:
    env = zooming(make_env, render_mode="human")
    env.reset(options={"index": 0})
    assert capsys.readouterr().out == "[question grey]\nHow grey?[image 100x100]\n[image 0 100x100]\n"
    moment = env.snapshot()
    env.step(ZOOM)
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "[call 1: image_zoom_in (executed, ok)]",
        "crop[image 50x50]",
        "[image 0 100x100, call 1: 25,25 50x25]",
        "[image 1 50x50]",
    ]
    assert env.render() is None
    assert capsys.readouterr().out == ""
    env.restore(moment)
    assert capsys.readouterr().out.startswith("[back at the beginning of question grey]\n[question grey]\n")
    env.step(ANSWER)
    assert capsys.readouterr().out == "[assistant, turn 1]\n<answer>4</answer>\n[answered: reward 1]\ncorrect 1\n"


class Screen(io.StringIO):
    """A terminal of an encoding."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:
        return self._encoding

    def isatty(self) -> bool:
        return True


@pytest.fixture
def colourful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")


@pytest.mark.usefixtures("colourful")
def test_a_terminal_gets_pictures_and_no_commands_of_the_policy(make_env: MakeEnv) -> None:
    env = zooming(make_env)
    env.reset(options={"index": 0})
    env.step(f"\x1b[2J\x07\u202e {ZOOM}")
    screen = Screen()
    terminal.show(moment_of(env), screen, back=False)
    text = screen.getvalue()
    # A square picture is 40 columns wide, and half as many rows high.
    rows = [line for line in text.splitlines() if "\u2580" in line]
    assert (len(rows), rows[0].count("\u2580")) == (40, 40)
    assert r"\x1b[2J\x07\u202e" in text
    assert "\x1b" not in re.sub(r"\x1b\[(?:[34]8;2;\d+;\d+;\d+|0)m", "", text)


@pytest.mark.usefixtures("colourful")
@pytest.mark.parametrize(("encoding", "variable"), [("ascii", None), ("utf-8", "NO_COLOR")])
def test_a_terminal_without_colours_gets_words(
    make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch, encoding: str, variable: str | None
) -> None:
    if variable:
        monkeypatch.setenv(variable, "1")
    env = zooming(make_env, questions=ListQuestions([Question(id="größe", prompt=("漢?", GREY), answer="4")]))
    env.reset()
    screen = Screen(encoding)
    terminal.show(moment_of(env), screen, back=True)
    text = screen.getvalue()
    assert "\x1b" not in text
    assert "[image 0 100x100]" in text
    assert text.encode(encoding)


def test_an_episode_that_could_not_begin_is_shown_as_its_fault(
    make_env: MakeEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    @tool(initial_state=lambda question: breaks.step({}, None, None))
    def never(state: Any) -> Any:
        """Never begins."""
        return "", state

    for mode in ("ansi", "rgb_array", "human"):
        env = zooming(make_env, tools=(never,), render_mode=mode)
        env.truncates_faults = True
        env.reset()
        shown = env.render()
        text = capsys.readouterr().out if mode == "human" else shown
        if mode == "rgb_array":
            assert shown.shape == FRAME
        else:
            assert text == f"[fault] the server is gone{chr(10) * (mode == 'human')}"
