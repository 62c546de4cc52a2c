"""Defines `PerceptionQuestions`: an endless or a fixed sequence of questions, each about a picture of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from axpo_envs.digest import digest_of
from axpo_envs.images import ImageRef
from axpo_envs.plumbing.columns import Columns
from axpo_envs.questions.splits import Split, SplitQuestions
from axpo_envs.suite.perception_qa._board_drawing import draw_boards
from axpo_envs.suite.perception_qa._board_questions import ask_of_boards, further_truths
from axpo_envs.suite.perception_qa._boards import BoardScene
from axpo_envs.suite.perception_qa._map_drawing import draw_map
from axpo_envs.suite.perception_qa._map_questions import ask_of_map
from axpo_envs.suite.perception_qa._maps import Map
from axpo_envs.suite.perception_qa._places import Tile, tiles_of
from axpo_envs.suite.perception_qa._truth import Picture, Topic, Truth
from axpo_envs.tools.measure import SCALE
from axpo_envs.types import Label, Question

_ENTROPY: Final = 0x9E7C
_GENERATION: Final = 1
"""Part of the fingerprint; raised when the same settings and index come to mean another question."""
_CACHE_BYTES: Final = 256 * 2**20
_KEPT_TRUTHS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PerceptionQuestionSettings:
    """What decides the questions of a source."""

    split: Split
    """Which questions."""
    held_out: int
    """Number of questions of the validation split and of the test split; fewer are the first of more."""
    topics: tuple[Topic, ...]
    """Forms of questions, all equally often."""
    image_size: int
    """Width and height of the pictures in pixels."""
    view_size: int
    """Width and height of the view in pixels: what is on a picture is as large as the view demands."""
    boards: int
    """Boards of a scene."""


class PerceptionQuestions(SplitQuestions):
    """A question source: "How many rings are on the red square board?", asked of a freshly drawn scene or map.

    Drawn questions are kept while they fit a quarter of a gigabyte, so that the rollouts of a group share one image.

    Raises:
        MissingExtraError: maps are asked of, and a package of the extra `data` is not installed.
    """

    def __init__(self, settings: PerceptionQuestionSettings) -> None:
        super().__init__(settings.split, settings.held_out)
        self._settings = settings
        with_maps = any(topic.picture is Picture.MAPS for topic in settings.topics)
        self._tiles = tiles_of(settings.split) if with_maps else ()
        deciding = (
            tuple(topic.value for topic in settings.topics),
            settings.image_size,
            settings.view_size,
            settings.boards,
            _told(self._tiles),
        )
        self._fingerprint = f"perception-{_GENERATION}/{settings.split}/{digest_of(*deciding)[:16]}"
        kept = max(1, min(1024, _CACHE_BYTES // (3 * settings.image_size**2)))
        self._drawn = lru_cache(maxsize=kept)(self._draw)
        self._arranged = lru_cache(maxsize=_KEPT_TRUTHS)(self._arrange)

    def __reduce__(self) -> tuple[Any, ...]:
        # The copy draws its own pictures.
        return PerceptionQuestions, (self._settings,)

    @property
    def fingerprint(self) -> str:
        """Identifies the split, the places of the maps, and every setting that changes its questions."""
        return self._fingerprint

    def _question(self, index: int) -> Question:
        return self._drawn(index)

    def truth_of(self, question: Question) -> Truth:
        """The truth behind one of these questions, without drawing it.

        Raises:
            ValueError: the question is from another source.
        """
        return self.truth(self._index_of(question))

    def truth(self, index: int) -> Truth:
        """The truth behind the question of that index, without drawing it."""
        return self._arranged(index)[1]

    def further_truths(self, question: Question) -> tuple[Truth, ...]:
        """What else the picture of one of these questions answers; nothing of a map.

        Raises:
            ValueError: the question is from another source.
        """
        picture, _ = self._arranged(self._index_of(question))
        return () if isinstance(picture, Map) else tuple(further_truths(picture))

    def names(self, *, airports: bool) -> tuple[str, ...]:
        """The names of the towns, or the codes of the airports, that maps of the split may show."""
        places = (place for tile in self._tiles for place in tile.places)
        return tuple(place.name for place in places if place.is_airport == airports)

    def _arrange(self, index: int) -> tuple[BoardScene | Map, Truth]:
        settings, rng = self._settings, self._generator(_ENTROPY, index)
        topic = settings.topics[int(rng.integers(len(settings.topics)))]
        unit = settings.image_size / settings.view_size
        if topic.picture is Picture.MAPS:
            return ask_of_map(topic, self._tiles, size=settings.image_size, unit=unit, rng=rng)
        return ask_of_boards(topic, size=settings.image_size, unit=unit, boards=settings.boards, rng=rng)

    def _draw(self, index: int) -> Question:
        picture, truth = self._arranged(index)
        image = _drawn(picture)
        scale = () if truth.km_per_pixel is None else ((SCALE, truth.km_per_pixel),)
        return Question(
            id=self._id(index),
            prompt=(image, truth.text),
            answer=truth.answer,
            alternatives=truth.alternatives,
            hops=max(1, len(truth.looks)),
            labels=frozenset({Label.MUST_ACT}),
            source=self._fingerprint,
            extra=Columns((("kind", truth.topic.kind.value), ("topic", truth.topic.value), *scale)),
        )


def _drawn(picture: BoardScene | Map) -> ImageRef:
    return draw_map(picture) if isinstance(picture, Map) else draw_boards(picture)


def _told(tiles: tuple[Tile, ...]) -> str:
    """Identifies what maps can show."""
    if not tiles:
        return ""
    return digest_of(
        *((tile.south, tile.west, tuple((one.key, one.name, one.latitude, one.longitude) for one in tile.places))
          for tile in tiles)
    )  # fmt: skip
