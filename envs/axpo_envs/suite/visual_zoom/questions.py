"""Defines `SignQuestions`: an endless or a fixed sequence of questions, each about a sign in a scene of its own."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from axpo_envs.questions.splits import Split, SplitQuestions
from axpo_envs.scenes._backdrops import backdrop_fingerprint, find_backdrop
from axpo_envs.scenes.scene import COLOURS, Scene, SceneLayout, Sign, arrange_scene, draw_scene
from axpo_envs.types import Question

TEMPLATE: Final = "What is written on the {colour} sign?"
"""The text of every question."""

_ENTROPY: Final = 0xA590
_CACHE_BYTES: Final = 256 * 2**20
_GENERATION: Final = 1
"""Part of the fingerprint; raised when the same settings and index come to mean another question."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignQuestionSettings:
    """What decides the questions of a source."""

    split: Split
    """Which questions."""
    held_out: int
    """Number of questions of the validation split and of the test split; fewer are the first of more."""
    layout: SceneLayout
    """The layout of every scene."""
    guess_rate: float
    """Probability that the asked sign carries its colour's favourite; otherwise any other character, all equally."""
    backdrop: str
    """Name of the backdrop, see `find_backdrop`."""
    hops: int
    """Tool calls that an answer needs at least."""


class SignQuestions(SplitQuestions):
    """A question source: "What is written on the red sign?", asked of a freshly drawn scene.

    Drawn questions are kept while they fit a quarter
    of a gigabyte, so that the rollouts of a group share one image.

    Raises:
        EnvConfigError: the backdrop is not available.
    """

    def __init__(self, settings: SignQuestionSettings) -> None:
        super().__init__(settings.split, settings.held_out)
        self._settings = settings
        self._favourites = favourites(settings.layout.characters)
        self._backdrop = find_backdrop(settings.backdrop)
        deciding = (settings.layout, float(settings.guess_rate), backdrop_fingerprint(self._backdrop), settings.hops)
        digest = hashlib.blake2b(repr(deciding).encode(), digest_size=8).hexdigest()
        self._fingerprint = f"signs-{_GENERATION}/{settings.split}/{digest}"
        self._drawn = lru_cache(maxsize=kept_images(settings.layout))(self._draw)

    def __reduce__(self) -> tuple[Any, ...]:
        # The copy draws its own scenes.
        return SignQuestions, (self._settings,)

    @property
    def fingerprint(self) -> str:
        """Identifies the split and every setting that changes its questions."""
        return self._fingerprint

    def _question(self, index: int) -> Question:
        return self._drawn(index)

    def scene_of(self, question: Question) -> Scene:
        """The truth behind one of these questions, arranged again and not drawn.

        Raises:
            ValueError: the question is from another source.
        """
        return self._arrange(self._index_of(question))[0]

    def _arrange(self, index: int) -> tuple[Scene, Sign]:
        rng = self._generator(_ENTROPY, index)
        scene = arrange_scene(self._settings.layout, rng)
        asked = scene.signs[int(rng.integers(len(scene.signs)))]
        favourite = self._favourites[asked.colour]
        others = [character for character in self._settings.layout.characters if character != favourite]
        # Both are drawn whatever comes of it: the guess rate changes characters and nothing else.
        favoured, other = rng.random() < self._settings.guess_rate, others[int(rng.integers(len(others)))]
        written = dataclasses.replace(asked, character=favourite if favoured else other)
        signs = tuple(written if sign is asked else sign for sign in scene.signs)
        return dataclasses.replace(scene, signs=signs), written

    def _draw(self, index: int) -> Question:
        scene, asked = self._arrange(index)
        return Question(
            id=self._id(index),
            prompt=(draw_scene(scene, self._backdrop), TEMPLATE.format(colour=asked.colour)),
            answer=asked.character,
            hops=self._settings.hops,
            source=self._fingerprint,
        )


def favourites(characters: str) -> Mapping[str, str]:
    """The favourite character of every colour: fixed and public, so that guessing can be learned.

    Red favours 3, green 7, blue 1, yellow 8, magenta 5 and cyan 0; a colour whose favourite is not among the
    characters takes the one at its own position in `COLOURS`, counted round.
    """
    return {
        colour.name: colour.favourite if colour.favourite in characters else characters[position % len(characters)]
        for position, colour in enumerate(COLOURS)
    }


def asked_colour(question: Question) -> str:
    """The colour that a question's text asks for.

    Raises:
        ValueError: the text does not follow `TEMPLATE`.
    """
    for colour in COLOURS:
        if question.text == TEMPLATE.format(colour=colour.name):
            return colour.name
    raise ValueError(f"expected a question of the form {TEMPLATE!r}; got {question.text!r}")


def kept_images(layout: SceneLayout) -> int:
    """How many drawn scenes a cache keeps: as many as fit a quarter of a gigabyte, at most 1024, at least one."""
    return max(1, min(1024, _CACHE_BYTES // (3 * layout.width * layout.height)))
