"""Defines the probe of PerceptionQA: it is told what is asked and shown, enlarged, where in the view it lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from axpo_benchmarks.envs._probing import Bytes, Exhibits, guesses, numbered, read, train_probe
from axpo_benchmarks.envs._row import Share
from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef
from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.suite.perception_qa import PerceptionQA, Picture, Topic, Truth, answer_class

TRAINED_ON: Final = 2000
"""Training pictures."""

EPOCHS: Final = 6
"""How often each is seen."""

_PATCHES: Final = 5
_PATCH: Final = 40
_VIEW: Final = 64
_RIM: Final = 2.0
_WORDS: Final = 2
_LONGEST_NAME: Final = 16
_FURTHER: Final = (Topic.COLOUR, Topic.SHAPE, Topic.CHARACTER)
_MOST_FURTHER: Final = 10


def probe_perception(env: ToolEnv, episodes: int, *, trained_on: int = TRAINED_ON, epochs: int = EPOCHS) -> Share:
    """Trains a probe on the views of the train split, and asks it so many of the environment's questions.

    Args:
        env: a PerceptionQA whose questions are held out.
        episodes: how many of them it is asked, the first ones.
        trained_on: how many training views it sees; of scenes it is asked up to ten more questions than the env asks.
        epochs: how often.
    """
    assert isinstance(env, PerceptionQA)
    training = PerceptionQA(**{**env.knobs, "split": "train"})
    seen: list[tuple[Truth, ImageRef]] = []
    further: list[tuple[Truth, ImageRef]] = []
    for index in range(trained_on):
        seen.append(_seen(training, index))
        further += [(more, seen[-1][1]) for more in _further(training, index)]
    truths = [truth for truth, _ in (*seen, *further)]
    words = tuple(sorted({word for truth in truths for word in truth.words}))
    known = tuple(sorted({_answer(truth) for truth in truths}))
    examples = _exhibits(training, [*seen, *further], words, known)
    asked = _exhibits(env, [_seen(env, index) for index in range(episodes)], words, known)
    probe = train_probe(examples, answers=len(known), epochs=epochs)
    right = read(probe, asked) == asked.answers
    guessed = guesses(examples.take(np.arange(trained_on)), asked) == asked.answers
    by_topic = ", ".join(
        f"{topic} {right[asked.groups == number].mean():.0%} ({guessed[asked.groups == number].mean():.0%})"
        for number, topic in enumerate(Topic) if (asked.groups == number).any()
    )  # fmt: skip
    note = (
        f"always the most frequent answer of its form of question: {guessed.mean():.1%}; trained on {len(examples)} "
        f"questions about {trained_on} views of the train split, {epochs} epochs; by form "
        f"(most frequent answer): {by_topic}"
    )
    return Share(right=int(right.sum()), n=episodes, note=note)


def _seen(env: PerceptionQA, index: int) -> tuple[Truth, ImageRef]:
    """The truth behind a question, and the view of its picture."""
    question = env.questions.question(index)
    (view,) = (part for part in env.opening(env.begin(question)) if isinstance(part, ImageRef))
    return env.truth_of(question), view


def _further(env: PerceptionQA, index: int) -> tuple[Truth, ...]:
    """Some of what else the picture of a question answers, in forms whose answers are spread as those of questions."""
    further = [truth for truth in env.further_truths(env.questions.question(index)) if truth.topic in _FURTHER]
    chosen = np.random.default_rng(index).permutation(len(further))[:_MOST_FURTHER]
    return tuple(further[int(number)] for number in chosen)


def _answer(truth: Truth) -> str:
    """The answer as a class of its topic: a name of one topic is none of another."""
    return f"{truth.topic} {answer_class(truth)}"


def _exhibits(
    env: PerceptionQA, seen: Sequence[tuple[Truth, ImageRef]], words: Sequence[str], known: Sequence[str]
) -> Exhibits:
    patches = np.zeros((len(seen), _PATCHES, _PATCH, _PATCH, 3), dtype=np.uint8)
    views = np.zeros((len(seen), _VIEW, _VIEW, 3), dtype=np.uint8)
    scale = env.settings.view_size / env.settings.image_size
    for number, (truth, view) in enumerate(seen):
        shown = view.to_pil()
        # Of a scene the patches hold all that is asked about.
        if truth.topic.picture is Picture.MAPS:
            views[number] = np.asarray(shown.resize((_VIEW, _VIEW), Image.Resampling.BILINEAR))
        for slot, place in enumerate(truth.places[:_PATCHES]):
            patches[number, slot] = _patch(shown, place, scale)
    truths = [truth for truth, _ in seen]
    return Exhibits(
        patches=patches,
        views=views,
        asked=np.stack([_asked(truth, words, env.settings.image_size) for truth in truths]),
        groups=np.array([tuple(Topic).index(truth.topic) for truth in truths]),
        answers=numbered([_answer(truth) for truth in truths], known),
    )


def _patch(view: Image.Image, place: PixelBox, scale: float) -> Bytes:
    """The square of the view around a place, moved inside where it reaches out, at a fixed size."""
    side = min(max(place.width, place.height) * scale + 2 * _RIM, view.width)
    left, top = (
        min(max(middle * scale - side / 2, 0.0), view.width - side)
        for middle in ((place.left + place.right) / 2, (place.top + place.bottom) / 2)
    )
    box = (left, top, left + side, top + side)
    return np.asarray(view.resize((_PATCH, _PATCH), Image.Resampling.BILINEAR, box=box))


def _asked(truth: Truth, words: Sequence[str], size: int) -> npt.NDArray[np.float32]:
    """The topic, the words, where the places lie, and how long the names of the candidates are."""
    numbers = [float(topic is truth.topic) for topic in Topic]
    given = (*truth.words, *[""] * _WORDS)[:_WORDS]
    numbers += [float(word == one) for one in given for word in words]
    for slot in range(_PATCHES):
        place = truth.places[slot] if slot < len(truth.places) else PixelBox(0, 0, 0, 0)
        numbers += [edge / size for edge in place]
    lengths = [len(option) / _LONGEST_NAME for option in truth.options]
    numbers += (lengths + [0.0] * _PATCHES)[:_PATCHES]
    return np.array(numbers, dtype=np.float32)
