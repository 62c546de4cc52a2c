from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from axpo_agents.policy import TextAgent
from axpo_envs.imaging.coordinates import Coords, PixelBox
from axpo_envs.scenes import Scene, SceneLayout, Sign
from axpo_envs.suite.visual_zoom import ExpertStyle, FavouriteGuesser, RandomFloor, ZoomExpert
from axpo_envs.suite.visual_zoom.env import VisualZoom, is_legible
from axpo_envs.suite.visual_zoom.expert import box_around, direct_turn, reading_turn, zoom_turn
from axpo_envs.suite.visual_zoom.questions import asked_colour, favourites
from axpo_envs.types import EpisodeState, StopReason

DIGITS = "0123456789"


def play(env: VisualZoom, agent: TextAgent, index: int, seed: int = 0) -> EpisodeState:
    state = env.begin(env.questions.question(index), seed=seed)
    observation: dict[str, Any] = {"text": "", "images": ()}
    while state.stop is None:
        state = env.advance(state, agent.act(observation, state)).state
    return state


def play_many(env: VisualZoom, agent: TextAgent, count: int) -> tuple[float, float]:
    """Success rate and share of episodes with a tool call."""
    states = [play(env, agent, index) for index in range(count)]
    used = [any(turn.calls for turn in state.turns) for state in states]
    return float(np.mean([state.reward for state in states])), float(np.mean(used))


def spread(rate: float, count: int) -> float:
    """Four standard deviations of a binomial share."""
    return float(4 * np.sqrt(rate * (1 - rate) / count))


def test_turns_are_written_exactly_as_the_tiny_policy_knows_them() -> None:
    assert direct_turn("7") == "<think>I can guess</think><answer>7</answer>"
    assert zoom_turn("red", (300, 450.0, 500, 650)) == (
        "<think>I must zoom</think><tool_call>\n"
        '{"name": "image_zoom_in", "arguments": {"label": "red", "bbox_2d": [300, 450, 500, 650]}}\n</tool_call>'
    )
    assert '"bbox_2d": [0.3, 0.4567, 0.5, 1]' in zoom_turn("red", (0.3, 0.456712, 0.5, 1.0))
    assert reading_turn("red", "7") == "<think>crop reads red 7</think><answer>7</answer>"


@pytest.mark.parametrize(
    ("x", "y", "error", "box"),
    [
        # Centre (500, 460) thousandths: the nearest box on the grid starts at 400 and at 350 (360 rounded).
        (500, 230, (0, 0), (400, 350, 600, 550)),
        (500, 230, (30, -40), (450, 300, 650, 500)),
        (20, 490, (0, 0), (0, 800, 200, 1000)),
        (980, 20, (500, -500), (800, 0, 1000, 200)),
    ],
)
def test_boxes_lie_on_the_grid_within_the_image(
    x: float, y: float, error: tuple[float, float], box: tuple[int, ...]
) -> None:
    sign = Sign(colour="red", character="3", x=x, y=y, side=40, ink_x=x, ink_y=y, ink_height=30)
    scene = Scene(layout=SceneLayout(width=1000, height=500), signs=(sign,), seed=0)
    assert box_around(scene, sign, error=error) == box


def test_other_widths_and_grids_are_kept_to() -> None:
    sign = Sign(colour="red", character="3", x=333, y=777, side=40, ink_x=333, ink_y=777, ink_height=30)
    scene = Scene(layout=SceneLayout(width=1000, height=1000), signs=(sign,), seed=0)
    assert box_around(scene, sign, width=100, grid=10) == (280, 730, 380, 830)


@pytest.mark.parametrize("knobs", [{}, {"backdrop": "photos", "image_size": 512}, {"signs": 6, "image_size": 256}])
def test_the_expert_succeeds_in_at_least_99_of_100(knobs: dict[str, Any]) -> None:
    env = VisualZoom(split="validation", **knobs)
    success, used = play_many(env, ZoomExpert(env), 100)
    assert success >= 0.99
    assert used == 1.0


@pytest.mark.parametrize("coords", Coords)
def test_the_expert_writes_boxes_in_the_environments_convention(coords: Coords) -> None:
    env = VisualZoom(coords=coords, image_size=500)
    assert play_many(env, ZoomExpert(env), 10) == (1.0, 1.0)


def test_a_crop_of_the_expert_is_read_in_the_words_of_its_character() -> None:
    env = VisualZoom()
    state = play(env, ZoomExpert(env), 4)
    colour, answer = asked_colour(state.question), state.question.answer
    assert [turn.text for turn in state.turns][1:] == [reading_turn(colour, answer)]
    call = json.loads(state.turns[0].calls[0].call.arguments)
    assert list(call) == ["label", "bbox_2d"]
    assert call["label"] == colour
    assert all(value % 50 == 0 for value in call["bbox_2d"])


def test_noise_makes_boxes_miss_and_misses_fall_back_on_guesses() -> None:
    env = VisualZoom(guess_rate=0.6)
    noisy = ZoomExpert(env, ExpertStyle(box_noise=140))
    states = [play(env, noisy, index) for index in range(300)]
    legible, reward = [], []
    for state in states:
        box = noisy.seen(state.question, state.turns[0].calls[0])
        assert box is not None
        legible.append(is_legible(env.asked_sign(state.question), box, env.view_size))
        reward.append(state.reward)
    good = np.array(legible)
    assert 0.1 < good.mean() < 0.7
    assert np.array(reward)[good].min() == 1.0
    assert abs(np.array(reward)[~good].mean() - 0.6) < spread(0.6, int((~good).sum()))


def test_misreading_never_pays_where_the_favourite_would() -> None:
    env = VisualZoom(guess_rate=1.0, characters="0123456789")
    expert = ZoomExpert(env, ExpertStyle(misread=True))
    question, rng = env.questions.question(0), np.random.default_rng(0)
    colour = asked_colour(question)
    read = [expert.read(question, PixelBox(0, 0, 2, 2), rng) for _ in range(300)]
    assert not any(reading.legible for reading in read)
    assert {reading.character for reading in read} == set(DIGITS) - {favourites(DIGITS)[colour]}


def test_misreading_takes_the_character_of_another_sign_in_the_crop() -> None:
    env = VisualZoom()
    expert = ZoomExpert(env, ExpertStyle(misread=True))
    question, rng = env.questions.question(1), np.random.default_rng(0)
    other = next(sign for sign in env.scene_of(question).signs if sign.colour != asked_colour(question))
    close = PixelBox(other.x - 17, other.y - 17, other.x + 17, other.y + 17)
    assert {expert.read(question, close, rng) for _ in range(20)} == {(other.character, False)}


def test_tool_rate_and_favourite_rate_are_kept_to() -> None:
    env = VisualZoom(image_size=128)
    style = ExpertStyle(tool_rate=0.3, favourite_rate=0.5)
    states = [play(env, ZoomExpert(env, style), index) for index in range(300)]
    guesses = [state for state in states if not state.turns[0].calls]
    assert abs(len(guesses) / 300 - 0.7) < spread(0.7, 300)
    table = favourites(DIGITS)
    share = np.mean([state.turns[0].answer == table[asked_colour(state.question)] for state in guesses])
    # Half of the guesses are the favourite, a tenth of the other half is it by chance.
    assert abs(share - 0.55) < spread(0.55, len(guesses))


def test_what_an_expert_does_follows_from_its_seed_and_the_state() -> None:
    env = VisualZoom(image_size=128)
    style = ExpertStyle(box_noise=100, tool_rate=0.5)
    texts = [
        tuple(play(env, ZoomExpert(env, style, seed=seed), 2, episode).turns[0].text for episode in range(6))
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[0])) > 1


def test_the_expert_goes_on_from_what_another_policy_began() -> None:
    env = VisualZoom(image_size=128)
    expert, start = ZoomExpert(env), env.begin(env.questions.question(0))
    failed = env.advance(start, "<tool_call>{}</tool_call>").state
    assert "<tool_call>" in expert.act({}, failed)
    edge = '<tool_call>{"name": "image_zoom_in", "arguments": {"bbox": [0, 0, 90, 90]}}</tool_call>'
    assert expert.act({}, env.advance(start, edge).state).startswith("<think>crop reads")
    nested = edge.replace("}}", ', "img_idx": 1}}')
    looked = env.advance(env.advance(start, edge).state, nested).state
    assert looked.turns[1].calls[0].succeeded
    assert expert.act({}, looked).startswith("<think>crop reads")
    for _ in range(3):
        failed = env.advance(failed, "<tool_call>{}</tool_call>").state if failed.stop is None else failed
    assert failed.stop is StopReason.MAX_TURNS


def test_the_expert_guesses_when_no_call_is_left() -> None:
    env = VisualZoom(image_size=128, max_turns=1)
    failed = env.advance(env.begin(env.questions.question(0)), "<tool_call>{}</tool_call>").state
    assert ZoomExpert(env).act({}, failed).startswith("<think>I can guess")


def test_the_guesser_succeeds_at_the_guess_rate_and_the_floor_at_chance() -> None:
    env = VisualZoom(split="test", image_size=96, guess_rate=0.6)
    success, used = play_many(env, FavouriteGuesser(env), 400)
    assert abs(success - 0.6) < spread(0.6, 400)
    assert used == 0.0
    success, used = play_many(env, RandomFloor(env), 400)
    assert abs(success - 0.1) < spread(0.1, 400)
    assert used == 0.0


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"tool_rate": 1.5}, "tool_rate must be 0 to 1; got 1.5"),
        ({"favourite_rate": -1}, "favourite_rate must be 0 to 1"),
        ({"box_noise": -1.0}, "box_noise must be at least 0"),
        ({"box_noise": float("nan")}, "box_noise must be at least 0"),
        ({"box_width": 210}, "multiple of grid; got box_width=210, grid=50"),
        ({"box_width": 0}, "box_width must be 1 to 1000"),
        ({"grid": 0}, "multiple of grid"),
    ],
)
def test_styles_out_of_range_are_refused(style: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExpertStyle(**style)


@pytest.mark.parametrize("width", [100, 600])
def test_a_box_that_could_not_show_the_sign_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"box_width must be 121 to 582 thousandths .* on a grid of 50; got {width}"):
        ZoomExpert(VisualZoom(), ExpertStyle(box_width=width))
