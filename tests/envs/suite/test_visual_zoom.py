from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

from axpo_envs.errors import EnvConfigError, SnapshotError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.scenes import Sign, colour_named
from axpo_envs.snapshot import Snapshot
from axpo_envs.suite.visual_zoom import ZoomExpert
from axpo_envs.suite.visual_zoom.env import VisualZoom, VisualZoomSettings, is_legible
from axpo_envs.suite.visual_zoom.questions import TEMPLATE, asked_colour, favourites
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.types import Question, StopReason

CALL = """<tool_call>
{"name": "image_zoom_in", "arguments": {"label": "red", "bbox_2d": [300, 450, 500, 650]}}
</tool_call>"""


def digest_of_first(count: int, split: str) -> str:
    questions = [VisualZoom(split=split).questions.question(index) for index in range(count)]
    text = "\n".join(f"{question.id} {question.text} {question.answer}" for question in questions)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_it_conforms_to_the_contract_of_tool_environments() -> None:
    check_tool_env(lambda: gymnasium.make("axpo/VisualZoom-v0", image_size=96, view_size=32))


def test_its_tool_conforms_to_the_contract_of_tools() -> None:
    env = VisualZoom(image_size=128)
    check_tool(env.tools[0], arguments={"bbox_2d": [100, 100, 400, 300]}, question=env.questions.question(0))


def test_the_binding_names_work() -> None:
    env = gymnasium.make("axpo/VisualZoom-v0", image_size=720, view_size=64, guess_rate=0.5, split="validation")
    observation, _ = env.reset(seed=3)
    assert [image.shape for image in observation["images"]] == [(64, 64, 3)]
    assert observation["text"].endswith(" sign?")
    assert "<answer>" in observation["text"]
    observation, reward, terminated, truncated, _ = env.step(CALL)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert observation["text"] == "<tool_response>\ncrop\n</tool_response>"
    assert [image.shape for image in observation["images"]] == [(64, 64, 3)]
    unwrapped = env.unwrapped
    assert isinstance(unwrapped, VisualZoom)
    question = unwrapped.state.question
    assert (question.images[0].width, question.hops, question.labels) == (720, 1, frozenset())
    observation, reward, terminated, truncated, _ = env.step(f"<answer>{question.answer}</answer>")
    assert (reward, terminated, truncated) == (1.0, True, False)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments_show_what_single_ones_show(mode: str) -> None:
    envs = gymnasium.make_vec("axpo/VisualZoom-v0", num_envs=2, vectorization_mode=mode, image_size=512)
    try:
        observations, _ = envs.reset(seed=5)
        single, _ = gymnasium.make("axpo/VisualZoom-v0", image_size=512).reset(seed=6)
        texts, images = observations["text"], observations["images"]
        assert texts[1] == single["text"]
        assert (images[1][0] == single["images"][0]).all()
        _, rewards, terminated, _, _ = envs.step((CALL, "<answer>none</answer>"))
        assert list(rewards) == [0.0, 0.0]
        assert list(terminated) == [False, True]
    finally:
        envs.close()


def test_a_wrong_answer_no_answer_and_too_many_calls_end_without_reward() -> None:
    env = VisualZoom(max_turns=1)
    start = env.begin(env.questions.question(0))
    wrong = env.advance(start, "<answer>x</answer>").state
    assert (wrong.stop, wrong.reward) == (StopReason.ANSWERED, 0.0)
    assert env.advance(start, "I do not know").state.stop is StopReason.NO_ANSWER
    looked = env.advance(start, CALL).state
    assert env.advance(looked, CALL).state.stop is StopReason.MAX_TURNS
    assert env.advance(looked, f"<answer> {start.question.answer}. </answer>").state.reward == 1.0


def test_scenes_are_the_same_in_another_process() -> None:
    program = (
        "from axpo_envs.suite.visual_zoom.env import VisualZoom\n"
        "for backdrop in ('texture', 'photos'):\n"
        "    question = VisualZoom(backdrop=backdrop, image_size=256).questions.question(11)\n"
        "    print(question.images[0].digest, question.answer, question.source)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout
    questions = [VisualZoom(backdrop=name, image_size=256).questions.question(11) for name in ("texture", "photos")]
    here = [f"{question.images[0].digest} {question.answer} {question.source}" for question in questions]
    assert output.splitlines() == here
    assert here[0] != here[1]


@pytest.mark.parametrize(
    ("split", "pinned"),
    [("train", "b8a0a9d8ec794d65"), ("validation", "eedf9fed03dbfbb2"), ("test", "4f5c0fd82d6abf7d")],
)
def test_the_questions_of_every_split_stay_what_they_are(split: str, pinned: str) -> None:
    assert digest_of_first(20, split) == pinned


def test_held_out_splits_are_fixed_and_train_is_endless() -> None:
    train, test = VisualZoom().questions, VisualZoom(split="test").questions
    assert train.size is None
    assert train.question(2**48).id == f"train/{2**48}"
    assert (test.size, VisualZoom(split="validation").questions.size) == (1000, 1000)
    assert test.question(999).id == "test/999"
    with pytest.raises(IndexError, match="the test questions have indices 0 to 999; got 1000"):
        test.question(1000)
    with pytest.raises(IndexError, match="the train questions have indices from 0; got -1"):
        train.question(-1)
    fewer = VisualZoom(split="test", held_out=5).questions
    assert (fewer.size, fewer.question(4)) == (5, test.question(4))


def test_no_scene_occurs_in_two_splits() -> None:
    envs = [VisualZoom(split=split, image_size=96) for split in ("train", "validation", "test")]
    scenes = [env.scene_of(env.questions.question(index)) for env in envs for index in range(40)]
    assert len({scene.seed for scene in scenes}) == len(scenes)


@pytest.mark.parametrize("guess_rate", [0.0, 0.6, 1.0])
def test_the_favourite_is_right_as_often_as_the_guess_rate_says(guess_rate: float) -> None:
    env = VisualZoom(guess_rate=guess_rate, image_size=96)
    table = favourites("0123456789")
    questions = [env.questions.question(index) for index in range(500)]
    share = np.mean([question.answer == table[asked_colour(question)] for question in questions])
    # Four standard deviations of a binomial share.
    assert abs(share - guess_rate) <= 4 * np.sqrt(guess_rate * (1 - guess_rate) / 500)


def test_the_guess_rate_changes_the_asked_character_and_nothing_else() -> None:
    low, high = VisualZoom(guess_rate=0.2), VisualZoom(guess_rate=0.9)
    for index in range(30):
        scenes = [env.scene_of(env.questions.question(index)) for env in (low, high)]
        colour = asked_colour(low.questions.question(index))
        assert colour == asked_colour(high.questions.question(index))
        places = [[(sign.colour, sign.x, sign.y) for sign in scene.signs] for scene in scenes]
        others = [[sign for sign in scene.signs if sign.colour != colour] for scene in scenes]
        assert places[0] == places[1]
        assert others[0] == others[1]


def test_characters_of_signs_not_asked_for_are_uniform() -> None:
    env = VisualZoom(image_size=96, guess_rate=1.0)
    table, hits, count = favourites("0123456789"), 0, 0
    for index in range(250):
        question = env.questions.question(index)
        others = [sign for sign in env.scene_of(question).signs if sign.colour != asked_colour(question)]
        hits += sum(sign.character == table[sign.colour] for sign in others)
        count += len(others)
    assert abs(hits / count - 0.1) < 4 * np.sqrt(0.1 * 0.9 / count)


def test_other_characters_have_favourites_among_them() -> None:
    assert favourites("0123456789") == {
        "red": "3", "green": "7", "blue": "1", "yellow": "8", "magenta": "5", "cyan": "0",
    }  # fmt: skip
    assert list(favourites("AB3").values()) == ["3", "B", "3", "A", "B", "3"]
    env = VisualZoom(characters="AB3", image_size=96)
    assert {env.questions.question(index).answer for index in range(40)} == {"A", "B", "3"}


def test_the_truth_of_a_question_is_its_scene_and_answer() -> None:
    env = VisualZoom(image_size=256, signs=5)
    for index in (0, 1, 2**40):
        question = env.questions.question(index)
        assert len(env.scene_of(question).signs) == 5
        assert env.asked_sign(question).character == question.answer
        assert question.text == TEMPLATE.format(colour=env.asked_sign(question).colour)
    with pytest.raises(ValueError, match=r"expected a question of signs-1/train/.*; got 'test/0'"):
        env.scene_of(VisualZoom(split="test").questions.question(0))
    with pytest.raises(ValueError, match="of the form 'What is written"):
        asked_colour(Question(id="q", prompt=("What is written on the brown sign?",), answer="1"))


def test_every_setting_that_changes_questions_changes_their_source() -> None:
    knobs: list[dict[str, Any]] = [
        {},
        {"image_size": 400},
        {"guess_rate": 0.5},
        {"split": "test"},
        {"signs": 3},
        {"characters": "123"},
        {"sign_size": 0.07},
        {"backdrop": "photos"},
    ]
    assert len({VisualZoom(**knob).questions.fingerprint for knob in knobs}) == len(knobs)
    assert VisualZoom(max_turns=1, coords="norm1").questions.fingerprint == VisualZoom().questions.fingerprint


def test_snapshots_travel_and_are_refused_by_other_settings() -> None:
    env = VisualZoom(image_size=256)
    env.reset(seed=1)
    env.step(CALL)
    snapshot = Snapshot.from_bytes(env.snapshot().to_bytes())
    twin = VisualZoom(image_size=256)
    twin.restore(snapshot)
    assert twin.step("<answer>3</answer>")[1:4] == env.step("<answer>3</answer>")[1:4]
    for other in (VisualZoom(image_size=256, view_size=32, sign_size=0.0886), VisualZoom(image_size=129)):
        with pytest.raises(SnapshotError):
            other.restore(snapshot)


def test_questions_are_kept_so_that_rollouts_share_their_image() -> None:
    env = VisualZoom(image_size=96)
    first = env.questions.question(0)
    assert env.questions.question(0).images[0] is first.images[0]
    views = [env.opening(env.begin(first, seed=seed))[0] for seed in (0, 1)]
    assert views[0] is views[1]
    assert pickle.loads(pickle.dumps(first)) == first


@pytest.mark.parametrize("backdrop", ["texture", "photos"])
def test_signs_can_be_found_in_the_view_and_their_characters_are_four_pixels_high(backdrop: str) -> None:
    env = VisualZoom(backdrop=backdrop)
    assert env.settings.height_in_view < 4.1
    for index in range(10):
        question = env.questions.question(index)
        view = env.opening(env.begin(question))[0]
        assert isinstance(view, ImageRef)
        for sign in env.scene_of(question).signs:
            x, y = int(sign.x / 6), int(sign.y / 6)
            plate = view.pixels[y - 3 : y + 4, x - 3 : x + 4].astype(int)
            distances = np.abs(plate - colour_named(sign.colour).rgb).max(axis=2)
            # More than a third of the plate's 32 pixels keep its colour.
            assert (distances < 60).sum() >= 11


def test_how_large_a_box_may_be_is_what_the_formula_says() -> None:
    # 384 * 0.0886 = 34 pixels high signs, 24.5 pixels high characters; at 7 of 64 pixels they fill 224 of the scene.
    settings = VisualZoomSettings(sign_size=0.0886)
    assert settings.legible_box == pytest.approx(0.765 * 0.94 * 0.0886 * 64 / 7)
    assert settings.height_in_view == pytest.approx(4.08, abs=0.01)
    sign = Sign(colour="red", character="3", x=205.0, y=196.0, side=34.0, ink_x=200.0, ink_y=200.0, ink_height=24.45)
    widest = settings.legible_box * 384
    assert is_legible(sign, PixelBox(150, 150, 150 + 0.99 * widest, 150 + 0.99 * widest), 64)
    assert not is_legible(sign, PixelBox(150, 150, 150 + 1.01 * widest, 250), 64)
    # The character reaches 0.55 * 24.45 = 13.4 pixels from its own centre, wherever that of its sign is.
    assert is_legible(sign, PixelBox(186, 186, 286, 286), 64)
    assert not is_legible(sign, PixelBox(187, 186, 286, 286), 64)
    assert not is_legible(sign, PixelBox(150, 150, 250, 213), 64)


def test_an_answer_needs_no_call_where_the_view_shows_it_legibly() -> None:
    assert VisualZoom(sign_size=0.15, signs=1, image_size=96, view_size=48).questions.question(0).hops == 1
    assert VisualZoom(sign_size=0.15, signs=1, image_size=96, view_size=96).questions.question(0).hops == 0


@pytest.mark.parametrize("size", [64, 97, 2048])
def test_any_size_works_with_defaults(size: int) -> None:
    env = VisualZoom(image_size=size)
    question = env.questions.question(0)
    assert question.images[0].pixels.shape == (size, size, 3)
    assert env.opening(env.begin(question))[0].pixels.shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"image_size": 63}, "image_size must be an integer from 64 to 8192; got 63"),
        ({"image_size": 8193}, "image_size must be"),
        ({"image_size": "384"}, "image_size must be an integer from 64 to 8192; got '384'"),
        ({"image_size": 384.0}, "image_size must be an integer"),
        ({"view_size": 8}, "view_size must be an integer from 16 to 2048; got 8"),
        ({"guess_rate": 1.5}, "guess_rate must be a number from 0 to 1; got 1.5"),
        ({"guess_rate": float("nan")}, "guess_rate must be"),
        ({"guess_rate": True}, "guess_rate must be"),
        ({"split": "dev"}, "split must be one of train, validation, test; got 'dev'"),
        ({"signs": 0}, "signs must be an integer from 1 to 6; got 0"),
        ({"signs": 7}, "signs must be"),
        ({"characters": "1"}, "characters must be a string of 2 to 36"),
        ({"characters": "112"}, "none of them twice"),
        ({"characters": "aA"}, "none of them twice in either case"),
        ({"characters": "12 "}, "ASCII letters and digits"),
        ({"characters": 12}, "got 12"),
        ({"sign_size": 0.2}, "sign_size must be at most 0.1509 for 4 signs to fit a scene; got 0.2"),
        ({"sign_size": 0.001}, "sign_size must be at least 0.0217 at image_size=384"),
        ({"character_size": 0.1}, "character_size must be a number from 0.2 to 1; got 0.1"),
        ({"character_offset": 0.2}, "character_offset must be at most 0.140 with character_size=0.94"),
        ({"sign_size": "big"}, "sign_size must be a number"),
        ({"backdrop": ""}, "backdrop must be 'texture', 'photos' or a folder; got ''"),
        ({"backdrop": "no/such/folder"}, "backdrop must be 'texture', 'photos' or a folder of images"),
        ({"coords": "pixels"}, "coords must be one of rel1000, abs_resized, abs_original, norm1; got 'pixels'"),
        ({"max_turns": 0}, "max_turns must be an integer from 1"),
        ({"held_out": 0}, "held_out must be an integer from 1"),
        ({"view": 3}, "VisualZoom has no setting 'view'; it has image_size, view_size"),
        ({"render_mode": "video"}, "render_mode"),
    ],
)
def test_unusable_settings_are_refused_before_any_work(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        VisualZoom(**knobs)


def test_knobs_make_the_same_environment_again() -> None:
    env = VisualZoom(image_size=128, guess_rate=0.3, coords="norm1", split="test", signs=2)
    again = VisualZoom(**env.knobs)
    assert again.settings == env.settings
    assert again.questions.fingerprint == env.questions.fingerprint
    assert again.snapshot_of(again.begin(env.questions.question(0))) == env.snapshot_of(
        env.begin(env.questions.question(0))
    )


def test_closed_hides_characters_from_the_view_and_not_from_crops() -> None:
    for knobs in ({}, {"view_size": 128, "image_size": 768}, {"guess_rate": 0.5, "characters": "0123"}):
        env = VisualZoom(difficulty="closed", **knobs)
        assert env.settings.height_in_view == pytest.approx(0.765 * 0.4 * 4)
        expert = ZoomExpert(env)
        for index in range(12):
            state = env.begin(env.questions.question(index), seed=index)
            while state.stop is None:
                state = env.advance(state, expert.act({}, state)).state
            assert state.reward == 1.0


def test_closed_decides_the_knobs_that_hide_and_takes_a_guess_rate() -> None:
    closed = VisualZoom(difficulty="closed")
    knobs = ("sign_size", "character_size", "character_offset", "guess_rate")
    assert [closed.knobs[name] for name in knobs] == [4 / 64, 0.4, 0.2, 0.1]
    assert VisualZoom(**closed.knobs).settings == closed.settings
    assert VisualZoom(difficulty="closed", guess_rate=0.6).settings.guess_rate == 0.6
    assert VisualZoom(difficulty="closed", characters="0123").settings.guess_rate == 0.25
    assert VisualZoom(difficulty="default").settings == VisualZoom().settings
    with pytest.raises(EnvConfigError, match=r"character_size: difficulty='closed' makes it 0.4; got 0.94"):
        VisualZoom(difficulty="closed", character_size=0.94)
    with pytest.raises(EnvConfigError, match=r"sign_size: difficulty='closed' makes it 0.0625; got 0.08"):
        VisualZoom(difficulty="closed", sign_size=0.08)
    with pytest.raises(EnvConfigError, match="difficulty must be one of default, closed; got 'hard'"):
        VisualZoom(difficulty="hard")
