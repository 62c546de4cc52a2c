"""Defines the probe of VisualZoom: it is told where the signs are, and shown them, enlarged, as the view has them."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from axpo_benchmarks.envs._probing import Bytes, Exhibits, numbered, read, train_probe
from axpo_benchmarks.envs._row import Share
from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef
from axpo_envs.scenes import COLOURS, Sign
from axpo_envs.suite.visual_zoom import VisualZoom

TRAINED_ON: Final = 2500
"""Training scenes; every sign of a scene is an example."""

EPOCHS: Final = 8
"""How often each is seen."""

_PATCH: Final = 24
_REACH: Final = 1.5
_RIM: Final = 2.0


def probe_signs(env: ToolEnv, episodes: int, *, trained_on: int = TRAINED_ON, epochs: int = EPOCHS) -> Share:
    """Trains a probe on all signs of training scenes, and lets it read the asked signs of so many held-out ones.

    Characters are drawn without favourites, so that chance is one in as many as there are.

    Args:
        env: a VisualZoom whose questions are held out.
        episodes: how many of them it is asked, the first ones.
        trained_on: how many training scenes it sees.
        epochs: how often.
    """
    assert isinstance(env, VisualZoom)
    characters = env.settings.characters
    uniform = {**env.knobs, "guess_rate": 1 / len(characters)}
    examples = _exhibits(VisualZoom(**{**uniform, "split": "train"}), trained_on, asked_alone=False)
    probe = train_probe(examples, answers=len(characters), epochs=epochs)
    asked = _exhibits(VisualZoom(**uniform), episodes, asked_alone=True)
    right = int((read(probe, asked) == asked.answers).sum())
    note = (
        f"chance: {1 / len(characters):.1%}; characters without favourites; trained on {len(examples)} signs of "
        f"{trained_on} scenes of the train split, {epochs} epochs; told where the sign is"
    )
    return Share(right=right, n=episodes, note=note)


def _exhibits(env: VisualZoom, scenes: int, *, asked_alone: bool) -> Exhibits:
    patches, asked, written = [], [], []
    scale = env.settings.view_size / env.settings.image_size
    for index in range(scenes):
        question = env.questions.question(index)
        (view,) = (part for part in env.opening(env.begin(question)) if isinstance(part, ImageRef))
        shown = view.to_pil()
        for sign in (env.asked_sign(question),) if asked_alone else env.scene_of(question).signs:
            patches.append(_patch(shown, sign, scale))
            colours = [float(colour.name == sign.colour) for colour in COLOURS]
            # Where the sign lies between the pixels of the view.
            asked.append([*colours, sign.x * scale % 1, sign.y * scale % 1])
            written.append(sign.character)
    return Exhibits(
        patches=np.stack(patches)[:, None],
        views=np.zeros((len(patches), 0, 0, 3), dtype=np.uint8),
        asked=np.array(asked, dtype=np.float32),
        groups=np.zeros(len(patches), dtype=np.int64),
        answers=numbered(written, env.settings.characters),
    )


def _patch(view: Image.Image, sign: Sign, scale: float) -> Bytes:
    """The square of the view around a sign, moved inside where it reaches out, at a fixed size."""
    half = (_REACH * sign.side * scale + _RIM) / 2
    x, y = sign.x * scale, sign.y * scale
    left, top = (min(max(middle - half, 0.0), view.width - 2 * half) for middle in (x, y))
    box = (left, top, left + 2 * half, top + 2 * half)
    return np.asarray(view.resize((_PATCH, _PATCH), Image.Resampling.BICUBIC, box=box))
