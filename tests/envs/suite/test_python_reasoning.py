from __future__ import annotations

import contextlib
import io
import itertools
import math
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, SnapshotError, ToolEnv, call_turn
from axpo_envs.questions import Split
from axpo_envs.questions.sources import QuestionSubset
from axpo_envs.suite.python_reasoning import (
    FAMILIES,
    BlindGuesser,
    Figure,
    FigureQuestions,
    FigureQuestionSettings,
    Problem,
    PythonReasoning,
    RandomFloor,
    ReasoningExpert,
    draw_figure,
    expert,
)
from axpo_envs.suite.python_reasoning._drawing import COLOURS, Disc, Label, Path
from axpo_envs.suite.python_reasoning.questions import split_of
from axpo_envs.testing import check_tool_env
from axpo_envs.types import EpisodeState, ToolStatus

Maker = Callable[[np.random.Generator], Problem]
MAKERS: list[Maker] = [make for kinds in FAMILIES.values() for make in kinds]
each_kind = pytest.mark.parametrize("make", MAKERS, ids=[make.__name__ for make in MAKERS])


def made(make: Maker, count: int, seed: int = 0) -> Iterator[Problem]:
    rng = np.random.default_rng(seed)
    return (make(rng) for _ in range(count))


@pytest.fixture(scope="module")
def env() -> PythonReasoning:
    return PythonReasoning(split="test")


def play(env: PythonReasoning, agent: Any, index: int) -> EpisodeState:
    state = env.begin(env.questions.question(index), seed=index)
    while state.stop is None:
        state = env.advance(state, agent.act(dict(env.observe(state)), state)).state
    return state


def reward(env: PythonReasoning, index: int, answer: str) -> float:
    return env.advance(env.begin(env.questions.question(index)), f"<answer>{answer}</answer>").reward


def test_it_conforms_to_the_contract_of_tool_environments() -> None:
    check_tool_env(lambda: gymnasium.make("axpo/PythonReasoning-v0", image_size=320), seeds=(0,), fuzz=10)


def test_a_question_is_a_figure_and_a_text_and_python_is_the_tool() -> None:
    made = gymnasium.make("axpo/PythonReasoning-v0", families="charts", split="validation", image_size=640)
    observation, _ = made.reset(seed=1)
    assert [image.shape[1] for image in observation["images"]] == [640]
    unwrapped: Any = made.unwrapped
    assert [tool.name for tool in unwrapped.tools] == ["python"]
    assert unwrapped.state.question.extra["kind"] == "charts"
    assert PythonReasoning(**unwrapped.knobs).questions.fingerprint == unwrapped.questions.fingerprint


def test_the_expert_answers_what_a_call_of_python_printed(env: PythonReasoning) -> None:
    for index in range(20):
        end = play(env, ReasoningExpert(env), index)
        assert end.reward == 1.0, end.turns
        (call,) = end.turns[0].calls
        assert (call.call.name, call.result.status) == ("python", ToolStatus.OK)
        assert str(call.result.content[0]).strip() == end.turns[1].answer


@pytest.mark.parametrize("agent", [BlindGuesser, RandomFloor])
def test_who_does_not_see_the_figure_is_almost_never_right(
    env: PythonReasoning, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever knows fewer answers guesses a little worse, and sooner.
    monkeypatch.setattr(expert, "DRAWN", 300)
    expert._known_answers.cache_clear()
    expert._likeliest.cache_clear()
    blind = agent(env)
    ends = [play(env, blind, index) for index in range(200)]
    assert all(len(end.turns) == 1 and end.turns[0].answer for end in ends)
    assert sum(end.reward for end in ends) < 0.05 * len(ends)
    expert._known_answers.cache_clear()
    expert._likeliest.cache_clear()


@each_kind
def test_no_answer_to_a_kind_of_question_is_frequent(make: Maker) -> None:
    hundredths = Counter(round(problem.answer * 100) for problem in made(make, 800))
    assert max(sum(hundredths[value + near] for near in (-1, 0, 1)) for value in hundredths) < 0.04 * 800


@each_kind
def test_the_program_prints_the_answer_that_the_generator_found_another_way(make: Maker) -> None:
    for problem in made(make, 60):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(problem.code, {})
        assert abs(Fraction(printed.getvalue().strip()) - problem.answer) < 0.0051, problem.code
        assert abs(Fraction(problem.written) - problem.answer) <= Fraction("0.005")
        assert problem.kind == make.__name__


@each_kind
def test_the_numbers_that_an_answer_takes_stand_in_the_figure_and_not_in_the_text(make: Maker) -> None:
    for problem in made(make, 30):
        assert not any(character.isdigit() for character in problem.text)
        assert problem.text.isascii()
        assert all(text.isascii() for text in problem.figure.texts)
        assert problem.kind in NOT_WRITTEN or written(problem) <= set(words(problem.figure)), problem


NOT_WRITTEN = {"grid_polygon", "three_sorts", "dice"}
"""Kinds whose figures are counted and measured, not read."""


def words(figure: Figure) -> Iterator[str]:
    for text in figure.texts:
        yield from text.strip("()=").replace(",", " ").replace(".", "").replace("deg", " ").replace("=", " ").split()


def written(problem: Problem) -> set[str]:
    """The readings as the figure writes them; counts of drawn objects are not among them."""
    counted = {"counts", "boxes", "order"}
    values: set[str] = set()
    for name, reading in problem.readings:
        parts = reading if isinstance(reading, tuple) else (reading,)
        if problem.kind == "symbols":
            parts = parts[3:]
        if name not in counted:
            values |= {f"{part:03}" if name == "cents" else str(part) for part in parts}
    return values


def areas(problem: Problem) -> list[float]:
    """Areas of the figure's filled paths, in units of the canvas."""
    paths = [mark.points for mark in problem.figure.marks if isinstance(mark, Path) and mark.fill is not None]
    return [abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(path))) / 2 for path in paths]


def spread(path: tuple[tuple[float, float], ...]) -> float:
    return max(x for x, _ in path) - min(x for x, _ in path)


def test_plane_figures_are_drawn_to_scale() -> None:
    angle, triangle, shape, disc, polygon = FAMILIES["plane_geometry"]
    for problem in made(angle, 20):
        path = problem.figure.marks[0]
        assert isinstance(path, Path)
        left, right, tip = path.points[:3]
        a, b = (math.atan2(end[1] - tip[1], end[0] - tip[0]) for end in (left, right))
        assert math.degrees(a - b) == pytest.approx(float(problem.answer), abs=1e-6)
    for problem in made(triangle, 20):
        path = problem.figure.marks[0]
        assert isinstance(path, Path)
        around = sum(math.dist(a, b) for a, b in zip(path.points, path.points[1:], strict=False))
        legs: Any = problem.readings[0][1]
        assert around / spread(path.points) * legs[0] == pytest.approx(float(problem.answer))
    for problem in (*made(shape, 20), *made(disc, 20)):
        path = problem.figure.marks[0]
        assert isinstance(path, Path)
        sides: Any = problem.readings[0][1]
        discs = [mark.radius for mark in problem.figure.marks if isinstance(mark, Disc) and mark.colour is not None]
        area = areas(problem)[0] - sum(math.pi * radius**2 for radius in discs)
        assert area * (sides[0] / spread(path.points)) ** 2 == pytest.approx(float(problem.answer))
    for problem in made(polygon, 20):
        across = [mark.at[0] for mark in problem.figure.marks if isinstance(mark, Label) and mark.text in ("0", "2")]
        assert areas(problem)[0] / ((across[2] - across[0]) / 2) ** 2 == pytest.approx(float(problem.answer))


def test_every_object_that_counts_is_drawn_and_lies_apart_from_the_others() -> None:
    sorts, points, dice = FAMILIES["counting"]
    for problem in (*made(sorts, 20), *made(points, 20)):
        objects = [mark for mark in problem.figure.marks if getattr(mark, "fill", None) is not None]
        centres = [centre_of(mark) for mark in objects]
        assert all(math.dist(a, b) > 34 for place, a in enumerate(centres) for b in centres[:place])
        drawn = Counter((mark.fill, corners_of(mark)) for mark in objects if isinstance(mark, (Path, Disc)))
        if problem.kind == "worth_points":
            counts: Any = problem.readings[0][1]
            # One of each shape more stands in the row that says what it is worth.
            assert sorted(drawn.values()) == sorted(count + 1 for count in counts)
        else:
            assert [drawn[asked] for asked in asked_sorts(problem.text)] == [value for _, value in problem.readings]
    for problem in made(dice, 20):
        pips = [mark for mark in problem.figure.marks if isinstance(mark, Disc)]
        one, other = (reading for _, reading in problem.readings)
        assert len(pips) == sum(map(int, (*one, *other)))  # type: ignore[misc]


def centre_of(mark: Any) -> tuple[float, float]:
    if isinstance(mark, Disc):
        return mark.centre
    points = mark.points[:-1]
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


def corners_of(mark: Path | Disc) -> int:
    return 0 if isinstance(mark, Disc) else len(mark.points) - 1


def asked_sorts(text: str) -> list[tuple[tuple[int, int, int], int]]:
    """Colours and numbers of corners of the sorts that a question names, in order."""
    corners = {"circles": 0, "squares": 4, "triangles": 3}
    plain = text.replace(",", " ").replace(".", " ").split()
    return [(COLOURS[colour], corners[shape]) for colour, shape in itertools.pairwise(plain) if shape in corners]


def test_bars_are_as_high_as_is_written_above_them_and_the_red_point_lies_on_the_line() -> None:
    bars = FAMILIES["charts"][:3]
    for problem in (problem for make in bars for problem in made(make, 10)):
        marks = problem.figure.marks
        zero, twenty = (
            next(mark.at[1] for mark in marks if isinstance(mark, Label) and mark.text == text and mark.anchor == "rm")
            for text in ("0", "20")
        )
        for bar, label in itertools.pairwise(marks):
            if isinstance(bar, Path) and bar.fill is not None and isinstance(label, Label):
                high = bar.points[2][1] - bar.points[0][1]
                assert 20 * high / (zero - twenty) == pytest.approx(float(label.text))
    for problem in made(FAMILIES["algebra"][3], 20):
        line = next(
            mark.points for mark in problem.figure.marks if isinstance(mark, Path) and mark.colour != (25, 25, 30)
        )
        for disc in (mark for mark in problem.figure.marks if isinstance(mark, Disc)):
            (x, y), (left, right) = disc.centre, line
            share = (x - left[0]) / (right[0] - left[0])
            assert y == pytest.approx(left[1] + share * (right[1] - left[1]))


def test_a_figure_is_drawn_at_any_size_and_the_same_every_time() -> None:
    problem = next(made(FAMILIES["tables"][0], 1))
    small, large = (draw_figure(problem.figure, size) for size in (320, 800))
    assert max(small.size) == 320
    assert max(large.size) == 800
    assert draw_figure(problem.figure, 320) == small
    assert len(np.unique(large.pixels.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize(
    ("answer", "text"),
    [(Fraction(7), "7"), (Fraction(-3, 2), "-1.50"), (Fraction(1, 3), "0.33"), (Fraction(200, 3), "66.67")],
)
def test_answers_are_written_whole_or_with_two_decimals(answer: Fraction, text: str) -> None:
    problem = Problem(kind="k", text="t", figure=Figure(marks=()), readings=(), program="", answer=answer)
    assert problem.written == text


def test_the_readings_are_written_out_before_the_program() -> None:
    readings = (("sides", (3, 4)), ("names", ("a",)))
    problem = Problem(
        kind="k", text="t", figure=Figure(marks=()), readings=readings, program="print(1)", answer=Fraction(1)
    )
    assert problem.code == "sides = (3, 4)\nnames = ('a',)\nprint(1)"


def test_splits_share_no_problem_and_problems_know_their_split() -> None:
    contents = {}
    for split in Split:
        source = FigureQuestions(FigureQuestionSettings(split=split))
        problems = [source.problem(index)[1] for index in range(300)]
        assert all(split_of(problem) is split for problem in problems)
        contents[split] = {(problem.kind, problem.readings) for problem in problems}
        assert len(contents[split]) > 290
    assert not contents[Split.TRAIN] & contents[Split.TEST]
    assert not contents[Split.TRAIN] & contents[Split.VALIDATION]
    assert not contents[Split.VALIDATION] & contents[Split.TEST]


def test_families_are_asked_equally_often_or_some_alone() -> None:
    source = FigureQuestions(FigureQuestionSettings(split=Split.TRAIN))
    counts = Counter(source.problem(index)[0] for index in range(500))
    assert set(counts) == set(FAMILIES)
    assert all(70 < count < 130 for count in counts.values())
    alone = FigureQuestions(FigureQuestionSettings(families=("tables", "algebra")))
    assert {alone.problem(index)[0] for index in range(30)} == {"tables", "algebra"}
    assert source.size is None
    assert source.question(10**12).text
    assert len(FigureQuestions(FigureQuestionSettings(split=Split.TEST, held_out=7))) == 7


def test_a_source_of_ones_own_takes_a_split_by_its_name_and_refuses_what_there_is_not() -> None:
    named: Any = "test"
    source = FigureQuestions(FigureQuestionSettings(split=named))
    assert source.question(0) == FigureQuestions(FigureQuestionSettings(split=Split.TEST)).question(0)
    for given_settings, message in (
        ({"split": "dev"}, "split must be one of train, validation, test"),
        ({"families": ("riddles",)}, "families must be one of plane_geometry"),
        ({"families": ()}, "families must be some of plane_geometry"),
    ):
        with pytest.raises(EnvConfigError, match=message):
            FigureQuestionSettings(**given_settings)


def test_questions_are_the_same_in_another_process() -> None:
    script = (
        "from axpo_envs.suite.python_reasoning import FigureQuestions\n"
        "source = FigureQuestions()\n"
        "print(source.fingerprint)\n"
        "print([(question.text, question.answer, question.images[0].digest)"
        " for question in map(source.question, range(10))])\n"
        "import sys\n"
        "assert not {'torch', 'pyarrow', 'sympy'} & set(sys.modules)\n"
    )
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, encoding="utf-8"
    ).stdout.splitlines()
    source = FigureQuestions()
    asked = map(source.question, range(10))
    expected = [(question.text, question.answer, question.images[0].digest) for question in asked]
    assert told == [source.fingerprint, repr(expected)]


def test_it_travels_with_its_questions_and_refuses_those_of_others(env: PythonReasoning) -> None:
    copy = pickle.loads(pickle.dumps(env))
    assert copy.questions.question(3) == env.questions.question(3)
    copy.restore(env.snapshot_of(env.begin(env.questions.question(0))))
    train = PythonReasoning()
    with pytest.raises(SnapshotError):
        train.restore(env.snapshot_of(env.begin(env.questions.question(0))))
    with pytest.raises(ValueError, match="expected a question of figures-1/train"):
        train.problem_of(env.questions.question(0))
    some = QuestionSubset(env.questions, (3, 4))
    assert env.problem_of(some.question(1)).text == env.questions.question(4).text


def test_numbers_count_as_numbers_and_the_last_digit_may_be_cut(env: PythonReasoning) -> None:
    indices = range(100)
    whole = next(index for index in indices if env.problem_of(env.questions.question(index)).answer.denominator == 1)
    rounded = next(index for index in indices if "." in env.questions.question(index).answer)
    answer = env.questions.question(whole).answer
    assert [reward(env, whole, text) for text in (answer, f"{answer}.0", f"{answer} units")] == [1.0] * 3
    assert reward(env, whole, str(int(answer) + 1)) == 0.0
    value = float(env.questions.question(rounded).answer)
    assert [reward(env, rounded, f"{value + off:.2f}") for off in (0, -0.01, 0.02)] == [1.0, 1.0, 0.0]


CODES = ("total = globals().get('total', 0) + 1; total", "import random; random.random()", "1 / 0", "_images[0][-4:]")
Rewind = Callable[[ToolEnv, list[str], list[str]], None]
TURNS = (*(call_turn("python", {"code": code}) for code in CODES), "<tool_call>{</tool_call>")


@settings(max_examples=12)
@given(before=st.lists(st.sampled_from(TURNS), max_size=2), after=st.lists(st.sampled_from(TURNS), max_size=2))
def test_a_restored_moment_goes_on_as_it_did(
    hold_to_its_past: Rewind, env: PythonReasoning, before: list[str], after: list[str]
) -> None:
    hold_to_its_past(env, before, after)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"families": "riddles"}, "families must be some of plane_geometry, counting, charts, tables, algebra"),
        ({"families": ()}, "families must be some of"),
        ({"split": "dev"}, "split must be one of train, validation, test"),
        ({"image_size": 100}, "image_size must be an integer from 320 to 2048"),
        ({"max_turns": 0}, "max_turns must be an integer from 1"),
        ({"held_out": True}, "held_out must be an integer"),
        ({"source": "web"}, "source must be one of figures, mathvision"),
        ({"source": "mathvision"}, "source='mathvision' needs path"),
        ({"path": "rows.jsonl"}, "path is that of source='mathvision'"),
        ({"allow_unsandboxed": 1}, "allow_unsandboxed must be true or false"),
        ({"colour": 1}, "PythonReasoning has no setting 'colour'"),
    ],
)
def test_unusable_settings_are_told(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        PythonReasoning(**knobs)
