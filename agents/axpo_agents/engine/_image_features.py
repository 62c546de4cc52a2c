"""Defines what the image tower makes of images: `ImageFeatures`, and the memory of a frozen tower's work."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from axpo_envs.images import ImageRef

ImageFeature: TypeAlias = tuple[torch.Tensor, ...]
"""One image's input embeddings, and what is added after each of the first layers (Qwen3-VL's deepstack), all of shape
(image tokens, hidden size)."""


@dataclass
class EncodedImages(BaseModelOutputWithPooling):  # type: ignore[misc]  # the library has no types
    """A tower's output, as the forward of every family takes it and as newer ones hand it on."""

    deepstack_features: list[tuple[torch.Tensor, ...]] | None = None
    """For each deepstack level, a part per image, as in `pooler_output`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFeatures:
    """What the tower made of some distinct images."""

    levels: tuple[torch.Tensor, ...]
    """Input embeddings and deepstack levels of all images, each of shape (image tokens, hidden size)."""
    places: Mapping[str, tuple[int, int]]
    """First and past-last row of each image, by digest."""

    @classmethod
    def of(cls, features: Mapping[str, ImageFeature]) -> ImageFeatures:
        """Puts images together; at least one."""
        ends = accumulate((len(feature[0]) for feature in features.values()), initial=0)
        return cls(
            levels=tuple(torch.cat(level) for level in zip(*features.values(), strict=True)),
            places=dict(zip(features, pairwise(ends), strict=True)),
        )

    def ordered(self, images: Sequence[ImageRef]) -> EncodedImages:
        """The features of images in the order of their placeholders, as the model's forward takes them."""
        rows = np.concatenate([np.arange(*self.places[image.digest]) for image in images])
        index = torch.from_numpy(rows).to(self.levels[0].device)
        tokens, *deepstack = (level[index] for level in self.levels)
        return EncodedImages(pooler_output=(tokens,), deepstack_features=[(level,) for level in deepstack])


class FeatureMemory:
    """What a frozen tower made of images, by digest; the least recently used go first when memory runs out.

    Args:
        limit: bytes that are kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[str, ImageFeature] = OrderedDict()
        self._bytes = 0

    def find(self, digests: Iterable[str]) -> dict[str, ImageFeature]:
        """Those that are kept."""
        found = {digest: self._kept[digest] for digest in digests if digest in self._kept}
        for digest in found:
            self._kept.move_to_end(digest)
        return found

    def keep(self, features: Mapping[str, ImageFeature]) -> None:
        """Adds images that are not kept yet."""
        for digest, feature in features.items():
            # A copy, because a view would hold the memory of its whole batch.
            self._kept[digest] = tuple(level.detach().clone() for level in feature)
            self._bytes += _size(feature)
        while self._bytes > self.limit:
            self._bytes -= _size(self._kept.popitem(last=False)[1])

    def forget(self) -> None:
        """Drops everything."""
        self._kept.clear()
        self._bytes = 0


def _size(feature: ImageFeature) -> int:
    return sum(level.nbytes for level in feature)
