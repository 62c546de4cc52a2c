"""Defines `PerceptionQASettings`, the knobs of PerceptionQA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import GovernedSettings
from axpo_envs.imaging.coordinates import Coords
from axpo_envs.plumbing.knobs import check_choice, check_range, check_split, some_of
from axpo_envs.questions.splits import Split
from axpo_envs.suite.perception_qa._board_questions import CANDIDATES
from axpo_envs.suite.perception_qa._truth import Kind, Picture, Topic
from axpo_envs.suite.perception_qa.questions import PerceptionQuestionSettings

LEAST_REDUCTION: Final = 12
"""How many times larger a picture must be than its view: small marks are one pixel of the view across, and are drawn
so large at least."""

_PICTURES: Final = tuple(picture.value for picture in Picture)
_KINDS: Final = tuple(kind.value for kind in Kind)
_RANGES: Final = (
    ("image_size", 1344, 8192),
    ("view_size", 112, 640),
    ("boards", CANDIDATES, 12),
    ("max_turns", 1, 1000),
    ("held_out", 1, 1_000_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerceptionQASettings(GovernedSettings):
    """The knobs of PerceptionQA, all of them keyword arguments of `gymnasium.make`.

    Raises:
        EnvConfigError: a value is unusable, or the values do not fit each other; nothing has been drawn yet.
    """

    pictures: tuple[str, ...] = _PICTURES
    """What is asked of: `scenes`, `maps` (these need the extra `data`)."""
    kinds: tuple[str, ...] | None = None
    """Kinds of questions: `attribute` (scenes), `count`, `comparison`, `position`, `reading`, `distance` (maps); None
    for all that the pictures have."""
    split: str = Split.TRAIN
    """`train` (endless), `validation` or `test` (fixed)."""
    image_size: int = 2048
    """Width and height of a picture in pixels, 1344 to 8192."""
    view_size: int = 128
    """Side of the view and of every crop in pixels, 112 to 640; a twelfth of `image_size` at most."""
    boards: int = 8
    """Boards of a scene, 5 to 12."""
    coords: str = Coords.REL1000
    """Convention of the tools' boxes and points, see `Coords`."""
    max_turns: int = 6
    """Turns of an episode that may call tools, up to four calls in each."""
    held_out: int = 1000
    """Questions of the validation split and of the test split; fewer are the first of more."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pictures", some_of("pictures", self.pictures, _PICTURES))
        known = tuple(kind for kind in _KINDS if any(topic.kind == kind for topic in self._possible))
        kinds = known if self.kinds is None else some_of("kinds", self.kinds, _KINDS)
        object.__setattr__(self, "kinds", kinds)
        check_split(self.split, Split)
        check_choice("coords", self.coords, tuple(Coords))
        for name, low, high in _RANGES:
            check_range(name, getattr(self, name), int, low, high)
        if self.image_size < LEAST_REDUCTION * self.view_size:
            raise EnvConfigError(
                f"view_size must be at most {self.image_size // LEAST_REDUCTION} at image_size={self.image_size}, a "
                f"{LEAST_REDUCTION}th, so that the view is not enough; got {self.view_size}"
            )
        for kind in kinds:
            if kind not in known:
                raise EnvConfigError(f"kinds and pictures do not fit: no {kind} is asked of {', '.join(self.pictures)}")

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The forms of questions that are asked, all equally often."""
        assert self.kinds is not None
        return tuple(topic for topic in self._possible if topic.kind in self.kinds)

    @property
    def _possible(self) -> tuple[Topic, ...]:
        return tuple(topic for topic in Topic if topic.picture in self.pictures)

    @property
    def questions(self) -> PerceptionQuestionSettings:
        """What decides the questions."""
        return PerceptionQuestionSettings(
            split=Split(self.split),
            held_out=self.held_out,
            topics=self.topics,
            image_size=self.image_size,
            view_size=self.view_size,
            boards=self.boards,
        )
