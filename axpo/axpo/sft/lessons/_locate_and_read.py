"""Defines the dense lesson for VisualZoom: say where every sign of a scene is, then read a montage of close-ups."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Stretch
from axpo.sft.lessons._question_pool import QuestionPool
from axpo_envs.images import ImageRef
from axpo_envs.scenes.scene import Scene, Sign
from axpo_envs.suite.visual_zoom.env import VisualZoom
from axpo_envs.suite.visual_zoom.expert import box_around
from axpo_envs.tools.image_zoom_in import CROP_TEXT
from axpo_envs.types import Question

_TILES: Final = 2
"""Close-ups per side of a montage."""


class LocateAndRead:
    """Teaches places and characters densely: every demonstration holds each of them several times.

    Trajectories alone teach one place and one character an episode, from which a model that starts at random does
    not learn to find a sign. The words around numbers and characters are those of a call and of a reading, so that
    both carry over to trajectories; like the colours, whose order is random, they are given and not learned.

    Args:
        env: the environment, whose scenes and views are used.
        seed: decides everything drawn.
        questions: questions kept at a time.
        uses: demonstrations per question.
    """

    def __init__(self, env: VisualZoom, *, seed: int, questions: int, uses: int) -> None:
        self._env = env
        self._rng = np.random.default_rng([seed, 1])
        # A montage takes its close-ups from as many scenes as it has tiles.
        self._pool = QuestionPool(env.questions, self._rng, size=questions, uses=uses * (1 + _TILES**2))

    @property
    def env(self) -> VisualZoom:
        """The environment shown."""
        return self._env

    def draw(self, count: int) -> list[Demonstration]:
        """The next demonstrations."""
        return [self._demonstration() for _ in range(count)]

    def _demonstration(self) -> Demonstration:
        question = self._pool.draw()
        scene = self._env.scene_of(question)
        places: list[Stretch] = []
        for index in self._rng.permutation(len(scene.signs)):
            places += self._place(scene, scene.signs[int(index)])
        montage, signs = self._montage()
        readings: list[Stretch] = []
        for index in self._rng.permutation(len(signs)):
            sign = signs[int(index)]
            readings += [Stretch(text=f" reads {sign.colour} ", weight=0.0), Stretch(text=sign.character)]
        return Demonstration(
            start=self._env.begin(question),
            turns=(
                DemonstratedTurn(stretches=_closed(places), observation=(CROP_TEXT, montage)),
                DemonstratedTurn(stretches=_closed(readings)),
            ),
        )

    def _place(self, scene: Scene, sign: Sign) -> tuple[Stretch, ...]:
        left, top, _, _ = box_around(scene, sign)
        return (
            Stretch(text=f'{sign.colour}", "bbox_2d": [', weight=0.0),
            Stretch(text=str(left)),
            Stretch(text=", ", weight=0.0),
            Stretch(text=str(top)),
        )

    def _montage(self) -> tuple[ImageRef, tuple[Sign, ...]]:
        view = self._env.view_size
        tile = view // _TILES
        pixels = np.empty((view, view, 3), dtype=np.uint8)
        signs: list[Sign] = []
        while len(signs) < _TILES**2:
            question = self._pool.draw()
            candidates = self._env.scene_of(question).signs
            sign = candidates[int(self._rng.integers(len(candidates)))]
            if sign.colour in {other.colour for other in signs}:
                continue
            row, column = divmod(len(signs), _TILES)
            pixels[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile] = self._close_up(
                question, sign, tile
            )
            signs.append(sign)
        return ImageRef(pixels), tuple(signs)

    def _close_up(self, question: Question, sign: Sign, size: int) -> npt.NDArray[np.uint8]:
        """A sign a little off its centre, at about the scale at which an expert's crop shows it."""
        half = sign.side * self._rng.uniform(0.53, 0.71)
        x = sign.x + sign.side * self._rng.uniform(-0.12, 0.14)
        y = sign.y + sign.side * self._rng.uniform(-0.12, 0.14)
        box = (round(x - half), round(y - half), round(x + half), round(y + half))
        close_up = question.images[0].to_pil().crop(box).resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(close_up)


def _closed(stretches: list[Stretch]) -> tuple[Stretch, ...]:
    """The end of these turns is nothing to learn: they are no turns of the environment."""
    return (*stretches, Stretch(text="", weight=0.0))
