"""Defines `axpo/VisualZoom-v0`: coloured signs that can be found in a small view, and whose characters a zoom shows.

A question asks for the one character on the sign of a colour. The policy sees the scene shrunk to `view_size` pixels;
the tool `image_zoom_in` shows a region of the original at that size. How accurate a box must be follows from two
knobs: a sign of side s (`sign_size`, a share of the scene's side) carries a character 0.72 s high (0.765 s times
`character_size`), which a crop with sides b (a share, too) shows 0.72 s / b * `view_size` pixels high. From 7 pixels it
counts as legible, hence up to b = 0.72 s * `view_size` / 7, provided that the crop holds the whole character. With the
defaults (s = 0.0886, `view_size` = 64) that is b = 0.58; in the view itself (b = 1) the character is 4 pixels high.

Nobody reads 4 pixels by eye, but a small network that is told where the signs are may. The default is what the embedded
policy of 1.7 million parameters can learn to read in a crop; trained by reward alone, it was not seen to learn to read
the view. For a larger policy, hide the characters: `difficulty="closed"`. `docs/visual-zoom.md` has what the probe of
`axpo-bench envs` reads in the view of both.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final

from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import GovernedSettings
from axpo_envs.imaging.coordinates import Coords, PixelBox
from axpo_envs.plumbing.knobs import check_choice, check_range, check_split, knobs_of, settings_from
from axpo_envs.questions.splits import Split
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.scenes import COLOURS, FONT_HEIGHT, TEXTURE, Scene, SceneLayout, Sign
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.suite.visual_zoom._difficulty import Difficulty
from axpo_envs.suite.visual_zoom.questions import SignQuestions, SignQuestionSettings, asked_colour
from axpo_envs.tools.image_zoom_in import ImageZoomIn
from axpo_envs.types import Question

ENV_ID: Final = "axpo/VisualZoom-v0"
"""Gymnasium id."""

LEGIBLE_HEIGHT: Final = 7.0
"""Pixels that a character must be high, as shown, to count as legible."""

_REACH: Final = 0.55
_SIGN_IN_VIEW: Final = 5.67
_LOWEST_DRAWN: Final = 6.0
_RANGES: Final[tuple[tuple[str, type[int] | type[float], float, float], ...]] = (
    ("image_size", int, 64, 8192),
    ("view_size", int, 16, 2048),
    ("guess_rate", float, 0, 1),
    ("character_size", float, 0.2, 1),
    ("character_offset", float, 0, 0.3),
    ("signs", int, 1, len(COLOURS)),
    ("max_turns", int, 1, 1000),
    ("held_out", int, 1, 1_000_000),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisualZoomSettings(GovernedSettings):
    """The knobs of VisualZoom, all of them keyword arguments of `gymnasium.make`.

    Raises:
        EnvConfigError: a value is unusable, or the values do not fit each other; nothing has been drawn yet.
    """

    image_size: int = 384
    """Width and height of a scene in pixels, 64 to 8192."""
    view_size: int = 64
    """Side of the view and of every crop in pixels, 16 to 2048."""
    guess_rate: float = 0.7
    """How often the asked sign carries its colour's favourite character (`favourites`): the success rate of always
    answering the favourite. Otherwise it carries any other character, all equally often. The other signs' characters
    are uniform."""
    split: str = Split.TRAIN
    """`train` (endless), `validation` or `test` (fixed)."""
    signs: int = 4
    """Signs per scene, 1 to 6, each of another colour."""
    characters: str = "0123456789"
    """What may be written on a sign: 2 to 36 different ASCII letters and digits."""
    character_size: float = 0.94
    """Font size of characters as a share of a sign's side."""
    character_offset: float = 0.0
    """How far characters lie off the centres of their signs, at most, in x and y, as a share of a sign's side."""
    sign_size: float | None = None
    """Side of a sign as a share of `image_size`. None makes it 5.67 pixels in the view (0.0886 at view size 64), but
    no smaller than can be drawn and no larger than fits the scene."""
    backdrop: str = TEXTURE
    """`texture`, `photos` (needs scikit-image), or the path of a folder of images."""
    coords: str = Coords.REL1000
    """Convention of the tool's boxes, see `Coords`."""
    max_turns: int = 3
    """Turns of an episode that may call the tool."""
    held_out: int = 1000
    """Questions of the validation split and of the test split; fewer are the first of more."""
    difficulty: str = Difficulty.DEFAULT
    """`default`, or `closed`, where the view gives no character away; `settings_of` fills in what that means."""

    def __post_init__(self) -> None:
        for name, kind, low, high in _RANGES:
            check_range(name, getattr(self, name), kind, low, high)
        check_split(self.split, Split)
        check_choice("coords", self.coords, tuple(Coords))
        check_choice("difficulty", self.difficulty, tuple(Difficulty))
        if not isinstance(self.backdrop, str) or not self.backdrop:
            raise EnvConfigError(f"backdrop must be 'texture', 'photos' or a folder; got {self.backdrop!r}")
        _check_characters(self.characters)
        reach = self.character_offset + FONT_HEIGHT * self.character_size / 2
        if reach > 0.5:
            raise EnvConfigError(
                f"character_offset must be at most {0.5 - reach + self.character_offset:.3f} with "
                f"character_size={self.character_size}, so that characters stay on their signs; "
                f"got {self.character_offset}"
            )
        if self.sign_size is not None:
            check_range("sign_size", self.sign_size, float, 0, 1)
            self._check_sign_size(self.sign_size)

    @property
    def layout(self) -> SceneLayout:
        """The layout of every scene, the default sign size filled in."""
        smallest, largest = self._sign_limits()
        chosen = _SIGN_IN_VIEW / self.view_size if self.sign_size is None else self.sign_size
        return SceneLayout(
            width=self.image_size,
            height=self.image_size,
            signs=self.signs,
            sign_size=min(max(chosen, smallest), largest),
            characters=self.characters,
            character_size=self.character_size,
            character_offset=self.character_offset,
        )

    @property
    def height_in_view(self) -> float:
        """Pixels that a character is high in the view."""
        return self.layout.character_height * self.layout.sign_size * min(self.view_size, self.image_size)

    @property
    def legible_box(self) -> float:
        """The longest side of a box that still shows a character legibly, as a share of the scene's side."""
        return self.layout.character_height * self.layout.sign_size * self.view_size / LEGIBLE_HEIGHT

    def _sign_limits(self) -> tuple[float, float]:
        # Each placed sign keeps the centres of others out of a square of 2.72 sides (see `arrange_scene`); with a
        # fifth of the area left free, random placement ends.
        room = math.sqrt(0.8)
        largest = min(0.5, room / (2.72 * math.sqrt(self.signs - 1) + 1.36 * room))
        return _LOWEST_DRAWN / (FONT_HEIGHT * self.character_size * self.image_size), largest

    def _check_sign_size(self, sign_size: float) -> None:
        smallest, largest = self._sign_limits()
        if sign_size < smallest:
            raise EnvConfigError(
                f"sign_size must be at least {smallest:.4f} at image_size={self.image_size}, so that characters are "
                f"drawn {_LOWEST_DRAWN:.0f} pixels high; got {sign_size}"
            )
        if sign_size > largest:
            raise EnvConfigError(
                f"sign_size must be at most {largest:.4f} for {self.signs} signs to fit a scene; got {sign_size}"
            )


class VisualZoom(ToolEnv):
    """Read a sign that is too small in the view by zooming in, or guess.

    Args:
        render_mode: as in Gymnasium.
        knobs: the fields of `VisualZoomSettings`.

    Raises:
        EnvConfigError: a knob is unknown or unusable.
    """

    def __init__(self, *, render_mode: str | None = None, **knobs: Any) -> None:
        settings = settings_of(knobs)
        self._settings = settings
        self._signs = _questions_of(settings)
        spec = ToolEnvSpec(
            env_id=ENV_ID,
            questions=self._signs,
            tools=(ImageZoomIn(coords=settings.coords),),
            reward=ExactMatch(),
            instructions=_INSTRUCTIONS.format(max_turns=settings.max_turns),
            max_turns=settings.max_turns,
            view_size=settings.view_size,
        )
        super().__init__(settings.governance.over(spec), render_mode=render_mode)

    @property
    def settings(self) -> VisualZoomSettings:
        """The knobs."""
        return self._settings

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs as keyword arguments that make the same environment again."""
        return knobs_of(self._settings)

    @property
    def view_size(self) -> int:
        """Side of the view and of every crop in pixels."""
        return self._settings.view_size

    def scene_of(self, question: Question) -> Scene:
        """The truth behind a question, for experts and diagnostics: which signs are where, and what they carry.

        Raises:
            ValueError: the question is from an environment with other settings.
        """
        return self._signs.scene_of(question)

    def asked_sign(self, question: Question) -> Sign:
        """The sign that a question asks for.

        Raises:
            ValueError: the question is from an environment with other settings.
        """
        return self.scene_of(question).sign(asked_colour(question))


_INSTRUCTIONS: Final = """\
You see a reduced copy of a large image: small things can be found in it but not read. To read one, call \
image_zoom_in with a box around it; you get that region enlarged, with the detail of the original image. \
Calls may be made in up to {max_turns} turns. Write a call as
<tool_call>
{{"name": "image_zoom_in", "arguments": {{"label": "...", "bbox_2d": [x1, y1, x2, y2]}}}}
</tool_call>
The answer is a single character. When you know it, or have to guess, write it alone between answer tags: \
<answer>X</answer>"""


def settings_of(knobs: Mapping[str, Any]) -> VisualZoomSettings:
    """The settings of these keyword arguments, those filled in that `difficulty` decides.

    Raises:
        EnvConfigError: a knob is unknown or unusable, or `difficulty` decides that it is something else.
    """
    given = settings_from(VisualZoomSettings, "VisualZoom", knobs)
    decided = Difficulty(given.difficulty).decides(knobs, view_size=given.view_size, characters=given.characters)
    return dataclasses.replace(given, **decided) if decided else given


def is_legible(sign: Sign, box: PixelBox, view_size: int) -> bool:
    """Whether a crop of that box, shown at `view_size`, holds the sign's whole character at least 7 pixels high."""
    reach = _REACH * sign.ink_height
    across = box.left <= sign.ink_x - reach and sign.ink_x + reach <= box.right
    down = box.top <= sign.ink_y - reach and sign.ink_y + reach <= box.bottom
    shown_height = sign.ink_height * view_size / max(box.width, box.height)
    return across and down and shown_height >= LEGIBLE_HEIGHT


def _questions_of(settings: VisualZoomSettings) -> SignQuestions:
    return SignQuestions(
        SignQuestionSettings(
            split=Split(settings.split),
            held_out=settings.held_out,
            layout=settings.layout,
            guess_rate=settings.guess_rate,
            backdrop=settings.backdrop,
            hops=1 if settings.height_in_view < LEGIBLE_HEIGHT else 0,
        )
    )


def _check_characters(characters: Any) -> None:
    good = isinstance(characters, str) and characters.isascii() and characters.isalnum() and len(characters) >= 2
    if not good or len(set(characters.lower())) < len(characters):
        raise EnvConfigError(
            "characters must be a string of 2 to 36 ASCII letters and digits, none of them twice in either case; "
            f"got {characters!r}"
        )
