"""Defines the scripted agents of VisualZoom and the exact texts of their turns, which the tiny policy learns."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from axpo_envs.imaging.coordinates import Coords, PixelBox, Size, pixel_box, written_box
from axpo_envs.imaging.showing import shown_size
from axpo_envs.scenes import Scene, Sign
from axpo_envs.suite.visual_zoom.env import VisualZoom, is_legible
from axpo_envs.suite.visual_zoom.questions import asked_colour, favourites
from axpo_envs.types import CallRecord, EpisodeState, Question

BOX_WIDTH: Final = 200
"""Width and height of an expert's box, thousandths of the image."""

GRID: Final = 50
"""Spacing of the numbers of an expert's box, thousandths of the image."""

_CHARACTER_SHARE: Final = 0.8
_THOUSANDTHS: Final = 1000


def direct_turn(character: str) -> str:
    """The turn that guesses without looking."""
    return f"<think>I can guess</think><answer>{character}</answer>"


def zoom_turn(colour: str, box: Sequence[float]) -> str:
    """The turn that zooms: the colour stands right before the box, whose numbers depend on it.

    Args:
        colour: name of the sign's colour.
        box: x1, y1, x2, y2 in the environment's convention; whole numbers are written without a point.
    """
    numbers = [int(value) if float(value).is_integer() else round(float(value), 4) for value in box]
    call = json.dumps({"name": "image_zoom_in", "arguments": {"label": colour, "bbox_2d": numbers}})
    return f"<think>I must zoom</think><tool_call>\n{call}\n</tool_call>"


def reading_turn(colour: str, character: str) -> str:
    """The turn that answers from a crop."""
    return f"<think>crop reads {colour} {character}</think><answer>{character}</answer>"


def box_around(
    scene: Scene,
    sign: Sign,
    *,
    width: int = BOX_WIDTH,
    grid: int = GRID,
    error: tuple[float, float] = (0.0, 0.0),
) -> tuple[int, int, int, int]:
    """The square box on the grid whose centre is nearest to a sign's, moved inside the image where it reaches out.

    Args:
        scene: the sign's scene.
        sign: what the box is around.
        width: width and height of the box, thousandths of the image.
        grid: spacing of the numbers a box may have, thousandths of the image; divides `width`.
        error: how far off the sign's centre is taken to be in x and y, thousandths of the image.

    Returns:
        Left, top, right and bottom edge in thousandths of the image.
    """
    last = (_THOUSANDTHS - width) // grid
    centres = (sign.x / scene.layout.width, sign.y / scene.layout.height)
    left, top = (
        min(max(round((_THOUSANDTHS * centre + off - width / 2) / grid), 0), last) * grid
        for centre, off in zip(centres, error, strict=True)
    )
    return left, top, left + width, top + width


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertStyle:
    """How well and how often a `ZoomExpert` zooms; the defaults succeed always."""

    tool_rate: float = 1.0
    """Probability of zooming; otherwise it guesses at once."""
    box_width: int = BOX_WIDTH
    """Width and height of its boxes, thousandths of the image."""
    box_noise: float = 0.0
    """Standard deviation of the error of a box's centre in x and y, thousandths of the image."""
    grid: int = GRID
    """Boxes are moved to multiples of it, thousandths of the image; it divides `box_width`."""
    favourite_rate: float = 1.0
    """Probability that a guess is the colour's favourite; otherwise it is any character, all equally often."""
    misread: bool = False
    """What it answers after a crop that does not show the sign legibly: a guess, or if true, a wrong character (that
    of another sign legible in the crop, else any but the colour's favourite), so that bad boxes do not pay."""

    def __post_init__(self) -> None:
        for name in ("tool_rate", "favourite_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be 0 to 1; got {getattr(self, name)}")
        if not self.box_noise >= 0:
            raise ValueError(f"box_noise must be at least 0; got {self.box_noise}")
        if not 0 < self.box_width <= _THOUSANDTHS or self.grid < 1 or self.box_width % self.grid:
            raise ValueError(
                f"box_width must be 1 to 1000 and a multiple of grid; got box_width={self.box_width}, grid={self.grid}"
            )


class Reading(NamedTuple):
    """What an expert says of a crop."""

    character: str
    """The character it reads."""
    legible: bool
    """Whether the crop shows the sign legibly; the character is then the right one."""


class ZoomExpert:
    """Zooms to where the asked sign is, and reads it off if the crop shows it legibly.

    It looks at the environment's truth. What it writes is a function of its seed and the episode's state.

    Args:
        env: the environment whose questions it is asked.
        style: how well and how often it zooms; by default it succeeds always, with smaller boxes where the usual
            ones would not show characters legibly.
        seed: seeds its choices.

    Raises:
        ValueError: a box of that style, though without noise, would not always show the asked sign legibly.
    """

    def __init__(self, env: VisualZoom, style: ExpertStyle | None = None, *, seed: int = 0) -> None:
        self._env = env
        self._style = style or _fitting_style(env)
        self._seed = seed
        self._favourites = favourites(env.settings.characters)
        smallest, largest = _box_widths(env, self._style.grid)
        if not smallest <= self._style.box_width <= largest:
            raise ValueError(
                f"box_width must be {math.ceil(smallest)} to {math.floor(largest)} thousandths to show the signs of "
                f"this environment on a grid of {self._style.grid}; got {self._style.box_width}"
            )

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Zooms in the first turn (or guesses), and again after a failed call; answers after a crop."""
        del observation  # the state holds it, and more
        question, rng = state.question, _rng(self._seed, state)
        colour = asked_colour(question)
        calls = [call for turn in state.turns for call in turn.calls if call.succeeded]
        if calls:
            return reading_turn(colour, self.read(question, self.seen(question, calls[-1]), rng).character)
        if rng.random() < self._style.tool_rate and len(state.turns) < self._env.settings.max_turns:
            return zoom_turn(colour, self.box(question, rng))
        return direct_turn(self.guess(colour, rng))

    def guess(self, colour: str, rng: np.random.Generator) -> str:
        """A character for a sign that it has not seen."""
        if rng.random() < self._style.favourite_rate:
            return self._favourites[colour]
        return _any_of(self._env.settings.characters, rng)

    def box(self, question: Question, rng: np.random.Generator) -> tuple[float, float, float, float]:
        """A box around the asked sign as it writes it, in the environment's convention."""
        style = self._style
        error_x, error_y = (float(error) for error in rng.normal(0, style.box_noise, 2))
        box = box_around(
            self._env.scene_of(question),
            self._env.asked_sign(question),
            width=style.box_width,
            grid=style.grid,
            error=(error_x, error_y),
        )
        return self._written(box, question)

    def read(self, question: Question, box: PixelBox | None, rng: np.random.Generator) -> Reading:
        """What it says of the crop of a box of original pixels; None for a crop of which it does not know the box."""
        settings, colour = self._env.settings, asked_colour(question)
        signs = self._env.scene_of(question).signs if box is not None else ()
        seen = {sign.colour: sign for sign in signs if box and is_legible(sign, box, settings.view_size)}
        if colour in seen:
            return Reading(seen[colour].character, legible=True)
        if not self._style.misread:
            return Reading(self.guess(colour, rng), legible=False)
        shown = "".join(sign.character for sign in seen.values())
        others = settings.characters.replace(self._favourites[colour], "")
        return Reading(_any_of(shown or others, rng), legible=False)

    def seen(self, question: Question, call: CallRecord) -> PixelBox | None:
        """The box of original pixels that a successful call showed; None where it zoomed into an earlier crop."""
        arguments = self._env.tools[0].validate(json.loads(call.call.arguments))
        if arguments["img_idx"] > 0:
            return None
        original, shown = self._sizes(question)
        return pixel_box(arguments["bbox_2d"], Coords(self._env.settings.coords), original=original, shown=shown)

    def _written(self, thousandths: Sequence[float], question: Question) -> tuple[float, float, float, float]:
        original, shown = self._sizes(question)
        coords = Coords(self._env.settings.coords)
        pixels = pixel_box(thousandths, Coords.REL1000, original=original, shown=shown)
        x1, y1, x2, y2 = written_box(pixels, coords, original=original, shown=shown)
        digits = 4 if coords is Coords.NORM1 else 0
        return round(x1, digits), round(y1, digits), round(x2, digits), round(y2, digits)

    def _sizes(self, question: Question) -> tuple[Size, Size]:
        original = Size(question.images[0].width, question.images[0].height)
        return original, shown_size(original, self._env.view_size)


class FavouriteGuesser:
    """Always answers the favourite character of the colour: it succeeds as often as the environment's `guess_rate`."""

    def __init__(self, env: VisualZoom) -> None:
        self._favourites = favourites(env.settings.characters)

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Guesses."""
        del observation  # the colour stands in the question
        return direct_turn(self._favourites[asked_colour(state.question)])


class RandomFloor:
    """Answers any character, all equally often: it succeeds once in as many questions as there are characters."""

    def __init__(self, env: VisualZoom, *, seed: int = 0) -> None:
        self._characters = env.settings.characters
        self._seed = seed

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Answers at random; a function of its seed and the episode's state."""
        del observation  # whatever it is
        return direct_turn(_any_of(self._characters, _rng(self._seed, state)))


def _box_widths(env: VisualZoom, grid: int) -> tuple[float, float]:
    """The smallest and the largest box on a grid that is sure to show a sign legibly, thousandths of the image."""
    smallest = _CHARACTER_SHARE * env.settings.layout.sign_size * _THOUSANDTHS + grid
    return smallest, env.settings.legible_box * _THOUSANDTHS


def _fitting_style(env: VisualZoom) -> ExpertStyle:
    """The usual style, or the one with the next smaller boxes that show signs legibly; the usual one without such."""
    smallest, largest = _box_widths(env, GRID)
    widest = int(largest // GRID) * GRID
    return ExpertStyle(box_width=widest) if smallest <= widest < BOX_WIDTH else ExpertStyle()


def _rng(seed: int, state: EpisodeState) -> np.random.Generator:
    key = repr((seed, state.question.id, state.seed, len(state.turns)))
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big"))


def _any_of(characters: str, rng: np.random.Generator) -> str:
    return characters[int(rng.integers(len(characters)))]
