from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from axpo_envs.scenes import COLOURS, Scene, SceneLayout, arrange_scene, colour_named, draw_scene


def scene(seed: int = 0, **layout: Any) -> Scene:
    settings = SceneLayout(**{"width": 384, "height": 384, **layout})
    return arrange_scene(settings, np.random.default_rng(seed))


def test_signs_differ_in_colour_and_neither_touch_nor_leave_the_scene() -> None:
    for seed in range(30):
        signs = scene(seed, signs=6, sign_size=0.1).signs
        assert len({sign.colour for sign in signs}) == len(signs) == 6
        for sign in signs:
            assert sign.side == pytest.approx(38.4)
            assert sign.side / 2 < min(sign.x, sign.y)
            assert max(sign.x, sign.y) < 384 - sign.side / 2
        for first in signs:
            for second in signs:
                apart = max(abs(first.x - second.x), abs(first.y - second.y))
                assert first is second or apart > first.side


def test_characters_and_colours_are_uniform() -> None:
    signs = [sign for seed in range(250) for sign in scene(seed).signs]
    # 1000 draws: a count is within 5 standard deviations (5 * sqrt(1000 * p * (1 - p))) of its expectation.
    for character in "0123456789":
        assert abs(sum(sign.character == character for sign in signs) - 100) < 48
    for colour in COLOURS:
        assert abs(sum(sign.colour == colour.name for sign in signs) - 1000 / 6) < 59


def test_the_same_generator_gives_the_same_scene_and_the_same_pixels() -> None:
    first, again = scene(7), scene(7)
    assert first == again
    assert draw_scene(first) == draw_scene(again)
    assert draw_scene(first) != draw_scene(scene(8))


def test_a_sign_changes_the_pixels_of_its_own_place_only() -> None:
    first = scene(3)
    sign = first.signs[0]
    other = dataclasses.replace(sign, character="8" if sign.character != "8" else "1")
    second = dataclasses.replace(first, signs=(other, *first.signs[1:]))
    changed = (draw_scene(first).pixels != draw_scene(second).pixels).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.size > 0
    assert np.abs(rows - sign.y).max() <= sign.side / 2
    assert np.abs(columns - sign.x).max() <= sign.side / 2


@pytest.mark.parametrize("size", [384, 1024])
def test_plates_have_their_colour_and_characters_their_documented_height(size: int) -> None:
    heights = []
    for seed in range(8):
        drawn = scene(seed, width=size, height=size)
        pixels = draw_scene(drawn).pixels.astype(int)
        for sign in drawn.signs:
            colour = colour_named(sign.colour)
            half = int(sign.side / 2) - 1
            x, y = int(sign.x), int(sign.y)
            plate = pixels[y - half : y + half, x - half : x + half]
            assert (plate == colour.rgb).all(axis=2).mean() > 0.4
            inked = np.abs(plate - colour.ink).sum(axis=2) < np.abs(plate - colour.rgb).sum(axis=2)
            heights.append(np.ptp(np.nonzero(inked.any(axis=1))[0]) + 1)
    share = np.array(heights) / (0.0886 * size)
    assert share.mean() == pytest.approx(SceneLayout(width=size, height=size).character_height, abs=0.03)


def test_characters_lie_off_the_centres_of_their_signs_as_far_as_asked() -> None:
    off = [abs(sign.ink_x - sign.x) / sign.side for seed in range(30) for sign in scene(seed).signs]
    assert max(off) == 0.0
    drawn = [sign for seed in range(30) for sign in scene(seed, character_size=0.5, character_offset=0.18).signs]
    off = [max(abs(sign.ink_x - sign.x), abs(sign.ink_y - sign.y)) / sign.side for sign in drawn]
    assert 0.15 < max(off) <= 0.18
    assert drawn[0].ink_height == pytest.approx(0.765 * 0.5 * 34, rel=1e-2)


def test_scenes_need_not_be_square() -> None:
    assert draw_scene(scene(width=300, height=150, signs=2)).pixels.shape == (150, 300, 3)


def test_signs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="6 signs of 115 px do not fit 384x384 px; use fewer or smaller"):
        scene(signs=6, sign_size=0.3)


def test_asking_for_a_colour_finds_its_sign_or_says_which_there_are() -> None:
    drawn = scene()
    assert [drawn.sign(sign.colour) for sign in drawn.signs] == list(drawn.signs)
    missing = next(colour.name for colour in COLOURS if colour.name not in {sign.colour for sign in drawn.signs})
    with pytest.raises(KeyError, match=f"no {missing} sign in a scene with {drawn.signs[0].colour}"):
        drawn.sign(missing)
