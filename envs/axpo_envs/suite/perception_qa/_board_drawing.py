"""Defines how the scenes of PerceptionQA are drawn."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from axpo_envs.images import ImageRef
from axpo_envs.suite.perception_qa._boards import MARK_COLOURS, MARK_SHAPES, Board, BoardScene, Mark

_BLOTCHES = 24
_CLUTTER = 40


def draw_boards(scene: BoardScene) -> ImageRef:
    """The scene's pixels; the same scene gives the same pixels."""
    rng = np.random.default_rng(scene.seed)
    blotches = rng.integers(80, 165, (_BLOTCHES, _BLOTCHES, 1)) + rng.integers(-18, 19, (_BLOTCHES, _BLOTCHES, 3))
    coarse = Image.fromarray(blotches.astype(np.uint8))
    image = coarse.resize((scene.size, scene.size), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(_CLUTTER):
        _draw_clutter(draw, scene, rng)
    for board in scene.boards:
        _draw_board(draw, board)
    return ImageRef(np.asarray(image))


def _draw_clutter(draw: ImageDraw.ImageDraw, scene: BoardScene, rng: np.random.Generator) -> None:
    left, top = (float(place) for place in rng.uniform(0, scene.size, 2))
    wide, high = (float(length) for length in rng.uniform(2, 12, 2) * scene.unit)
    grey = int(rng.integers(60, 200))
    colour = (grey, grey, grey)
    line = max(1, round(0.3 * scene.unit))
    box = (left, top, left + wide, top + high)
    match int(rng.integers(3)):
        case 0:
            draw.ellipse(box, outline=colour, width=line)
        case 1:
            draw.rectangle(box, outline=colour, width=line)
        case _:
            draw.line(box, fill=colour, width=line)


def _draw_board(draw: ImageDraw.ImageDraw, board: Board) -> None:
    if board.outline:
        draw.polygon(board.outline, fill=board.rgb)
    else:
        radius = board.radius
        draw.ellipse((board.x - radius, board.y - radius, board.x + radius, board.y + radius), fill=board.rgb)
    for mark in board.marks:
        _draw_mark(draw, mark)


def _draw_mark(draw: ImageDraw.ImageDraw, mark: Mark) -> None:
    """Draws a mark; every shape covers half of the square that it is given."""
    fill, size, x, y = MARK_COLOURS[mark.colour], mark.size, mark.x, mark.y
    half = size / 2

    def corners(*places: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x + half * across, y + half * down) for across, down in places]

    # Pillow's boxes include their last pixels.
    match mark.shape:
        case "dot":
            radius = size * math.sqrt(0.5 / math.pi)
            draw.ellipse((x - radius, y - radius, x + radius - 1, y + radius - 1), fill=fill)
        case "ring":
            width = max(1, round(half * (1 - math.sqrt(1 - 2 / math.pi))))
            draw.ellipse((x - half, y - half, x + half - 1, y + half - 1), outline=fill, width=width)
        case "triangle":
            draw.polygon(corners((0, -1), (1, 1), (-1, 1)), fill=fill)
        case "square":
            side = half * math.sqrt(0.5)
            draw.rectangle((x - side, y - side, x + side - 1, y + side - 1), fill=fill)
        case "diamond":
            draw.polygon(corners((0, -1), (1, 0), (0, 1), (-1, 0)), fill=fill)
        case "plus" | "cross":
            # Two bars of width w in a square of side 1 cover 2 w - w * w.
            arm = 1 - math.sqrt(0.5)
            turned = mark.shape == "cross"
            for bar in (((-1, -arm), (1, -arm), (1, arm), (-1, arm)), ((-arm, -1), (arm, -1), (arm, 1), (-arm, 1))):
                draw.polygon(corners(*((_turned(place) if turned else place) for place in bar)), fill=fill)
        case character:
            assert character not in MARK_SHAPES
            draw.text((x, y), character, fill=fill, font=_font(max(8, round(1.45 * size))), anchor="mm")


def _turned(place: tuple[float, float]) -> tuple[float, float]:
    """Turned by an eighth."""
    x, y = place
    return (x - y) * math.sqrt(0.5), (x + y) * math.sqrt(0.5)


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
