"""Measures rollouts: a group from one prompt, `model.generate` / our engine, and how soon branches start."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from axpo_agents.policy import Prefix
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import Context, Sampling, TokenSequence
from axpo_benchmarks.speed.models import IMAGE_TOKEN_SIDE, endless, letters, save_vision_model
from axpo_benchmarks.speed.pairs import REPEATS, measure_pairs
from axpo_benchmarks.speed.plain import PlainPolicy
from axpo_benchmarks.speed.rows import Absolute, Row
from axpo_envs import ImageRef

GROUP: Final = 8
"""Rollouts of a group."""
CONTINUATIONS: Final = 4
"""Continuations of a source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Lengths of a rollout."""

    prompt: int
    """Tokens of the prompt, image included."""
    response: int
    """Tokens of the response."""
    image: tuple[int, int] = (0, 0)
    """Height and width in tokens of the image that the prompt opens with; zeros for a prompt of text alone."""

    def __str__(self) -> str:
        shown = self.image[0] * self.image[1]
        return f"P={self.prompt}{f' ({shown} of an image)' if shown else ''}, R={self.response}"


SHAPES: Final = (
    Shape(prompt=256, response=64),
    Shape(prompt=256, response=64, image=(12, 16)),
    Shape(prompt=1024, response=128),
    Shape(prompt=1024, response=128, image=(24, 32)),
    Shape(prompt=256, response=256),
)
"""What is measured."""


def measure() -> list[Row]:
    """The rows of rollouts."""
    return [row for shape in SHAPES for row in (*rollout_rows(shape), *branch_rows(shape))]


def rollout_rows(shape: Shape, *, repeats: int = REPEATS) -> Iterator[Row]:
    """The rollouts of a group: every row reads the prompt for itself / it is read once."""
    forms = _Forms.of(shape)
    prefixes = [forms.prompt] * GROUP
    settings = Sampling(max_turn_tokens=shape.response)
    pairs = measure_pairs(
        partial(forms.plain.sample, prefixes, settings, seed=0),
        partial(forms.engine.sample, prefixes, settings, seed=0),
        repeats=repeats,
        prepare=forms.engine.forget,
    )
    target = 1.8 if shape.prompt >= 4 * shape.response else None
    yield pairs.ratio(f"rollout of a group, generate per row / ours, {shape}", target)
    tokens = GROUP * shape.response / median(pairs.second)
    yield Absolute(name=f"rollout of a group, {shape}", value=tokens, unit="tokens/s", limit=None)


def branch_rows(shape: Shape, *, repeats: int = REPEATS) -> Iterator[Row]:
    """The first tokens of continuations cut from a rollout's middle: read anew / started from what is remembered."""
    forms = _Forms.of(shape)
    whole = Sampling(max_turn_tokens=shape.response)
    (source, *_) = forms.engine.sample([forms.prompt] * GROUP, whole, seed=0)
    cut = shape.response // 2
    branch = Prefix(sequence=forms.prompt.sequence, forced=source.ids[:cut])
    first = Sampling(max_turn_tokens=cut + 1)

    def roll_sources() -> None:
        forms.engine.forget()
        forms.engine.sample([forms.prompt] * GROUP, whole, seed=0)

    pairs = measure_pairs(
        partial(forms.plain.sample, [branch] * CONTINUATIONS, first, seed=1),
        partial(forms.engine.sample, [branch] * CONTINUATIONS, first, seed=1),
        repeats=repeats,
        prepare=roll_sources,
    )
    target = 30.0 if shape.prompt >= 1024 else None
    yield pairs.ratio(f"start of {CONTINUATIONS} continuations, read anew / ours, {shape}", target)
    seconds = median(pairs.second)
    yield Absolute(name=f"start of {CONTINUATIONS} continuations, {shape}", value=1e3 * seconds, unit="ms", limit=None)


def make_context(policy: TransformersPolicy, shape: Shape) -> Context:
    """A prompt of this shape: the image, then letters."""
    height, width = shape.image
    shown = f"<|vision_start|>{'<|image_pad|>' * (height * width)}<|vision_end|>" if height else ""
    text = letters(shape.prompt - height * width - (2 if height else 0), seed=0)
    ids = tuple(policy.tokenizer(shown + text, add_special_tokens=False)["input_ids"])
    return Context(ids=ids, images=(_image(height, width),) if height else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forms:
    """One model in both forms, and a prompt for it."""

    plain: PlainPolicy
    engine: TransformersPolicy
    prompt: Prefix

    @classmethod
    def of(cls, shape: Shape) -> _Forms:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = save_vision_model(Path(folder))
            engine = endless(checkpoint)
            plain = PlainPolicy(endless(checkpoint), checkpoint)
        context = make_context(engine, shape)
        sequence = TokenSequence.of((), then=context)
        return cls(plain=plain, engine=engine, prompt=Prefix(sequence=sequence))


def _image(height: int, width: int) -> ImageRef:
    shape = (height * IMAGE_TOKEN_SIDE, width * IMAGE_TOKEN_SIDE, 3)
    return ImageRef(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
