"""Scenes with ground truth: signs, their drawing, and the backdrops beneath them."""

from axpo_envs.scenes._backdrops import PHOTOS, TEXTURE, Photographs, backdrop_fingerprint, find_backdrop
from axpo_envs.scenes.scene import (
    COLOURS,
    FONT_HEIGHT,
    Backdrop,
    Colour,
    Scene,
    SceneLayout,
    Sign,
    arrange_scene,
    colour_named,
    draw_scene,
    texture,
)

__all__ = [
    "COLOURS",
    "FONT_HEIGHT",
    "PHOTOS",
    "TEXTURE",
    "Backdrop",
    "Colour",
    "Photographs",
    "Scene",
    "SceneLayout",
    "Sign",
    "arrange_scene",
    "backdrop_fingerprint",
    "colour_named",
    "draw_scene",
    "find_backdrop",
    "texture",
]
