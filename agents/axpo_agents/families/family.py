"""Defines `Family`, what must be known of a family of models beyond what its files say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ImageTower(StrEnum):
    """How a family's image tower is run."""

    BATCHED = "batched"
    """Attention is within one image: all images of one size go through as a batch (`engine._image_attention`)."""
    LIBRARY = "library"
    """As the library runs it: attention within windows, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of models, by the `model_type` of its config.

    Sizes and ends of turns are read off its config, how its images are prepared off the preprocessor's config
    (`formats.image_settings`), how it writes calls off its chat template (`axpo_agents.formats`).
    """

    model_type: str
    """The config's `model_type`."""
    images: ImageTower | None = None
    """How its image tower is run, whose placeholders and three-axis positions are those of the Qwen-VL models; None for
    models that read text alone."""
    plain_head: bool = False
    """Its logits are the head's product with the last hidden state and nothing else, so that those of single tokens can
    be made apart (`engine._choices`). Of others the library makes all logits."""
    norms: tuple[str, ...] = ()
    """Names of the library's classes that divide by the root mean square and multiply by a weight, and do no more: in
    float32 on a CPU they are computed faster (`engine._rms_norm`). Others stay as they are."""
