"""Defines `SignQuestions`: an endless or a fixed sequence of questions, each about a sign in a scene of its own."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import numpy as np

from axpo_envs.scenes._backdrops import backdrop_fingerprint, find_backdrop
from axpo_envs.scenes.scene import COLOURS, Scene, SceneLayout, Sign, arrange_scene, draw_scene
from axpo_envs.types import Question

TEMPLATE: Final = "What is written on the {colour} sign?"
"""The text of every question."""

_ENTROPY: Final = 0xA590
_CACHE_BYTES: Final = 256 * 2**20
_GENERATION: Final = 1
"""Part of the fingerprint; raised when the same settings and index come to mean another question."""


class Split(StrEnum):
    """Which questions are asked. Each split has a seed space of its own, so that no scene occurs in two."""

    TRAIN = "train"
    """Infinitely many."""
    VALIDATION = "validation"
    """A fixed number, for choosing settings."""
    TEST = "test"
    """A fixed number of others, for final figures."""


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


class SignQuestions:
    """A question source: "What is written on the red sign?", asked of a freshly drawn scene.

    The id of a question names its split and index, `train/12345`. Drawn questions are kept while they fit a quarter
    of a gigabyte, so that the rollouts of a group share one image.

    Raises:
        EnvConfigError: the backdrop is not available.
    """

    def __init__(self, settings: SignQuestionSettings) -> None:
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

    @property
    def size(self) -> int | None:
        """Number of questions; None for the endless `train`."""
        return None if self._settings.split is Split.TRAIN else self._settings.held_out

    def __len__(self) -> int:
        """Number of questions.

        Raises:
            TypeError: they have no end.
        """
        if self.size is None:
            raise TypeError(f"the {self._settings.split} questions have no end, hence no length")
        return self.size

    def __bool__(self) -> bool:
        """True: there are questions."""
        return True

    def question(self, index: int) -> Question:
        """The question of that index.

        Raises:
            IndexError: there is none.
        """
        if index < 0 or (self.size is not None and index >= self.size):
            known = "from 0" if self.size is None else f"0 to {self.size - 1}"
            raise IndexError(f"the {self._settings.split} questions have indices {known}; got {index}")
        return self._drawn(index)

    def scene_of(self, question: Question) -> Scene:
        """The truth behind one of these questions, arranged again and not drawn.

        Raises:
            ValueError: the question is from another source.
        """
        if question.source != self._fingerprint:
            raise ValueError(f"expected a question of {self._fingerprint}; got {question.id!r} of {question.source!r}")
        return self._arrange(int(question.id.rpartition("/")[2]))[0]

    def _arrange(self, index: int) -> tuple[Scene, Sign]:
        split = tuple(Split).index(self._settings.split)
        rng = np.random.default_rng(np.random.SeedSequence(_ENTROPY, spawn_key=(split, index)))
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
            id=f"{self._settings.split}/{index}",
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
