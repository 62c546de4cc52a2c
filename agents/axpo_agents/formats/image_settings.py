"""Defines `ImageSettings`, how a checkpoint wants its images, and `Grid`: how many patches, and tokens, one has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image

from axpo_agents.errors import PolicyError
from axpo_envs.images import ImageRef, Pixels

_LONGEST_SHAPE: Final = 200
"""How many times longer than wide the library's processor takes images."""
_CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


class Grid(NamedTuple):
    """How many patches an image has."""

    height: int
    """Patches from top to bottom."""
    width: int
    """Patches from left to right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How a checkpoint wants its images."""

    patch: int
    """Side of a patch in pixels."""
    merge: int
    """Patches per side that form one image token."""
    temporal: int
    """How often an image is repeated along the time axis of a patch."""
    min_pixels: int
    """Smaller images are enlarged to about this many pixels."""
    max_pixels: int
    """Larger images are shrunk to about this many pixels."""
    mean: tuple[float, float, float] = _CLIP_MEAN
    """Subtracted from each channel."""
    std: tuple[float, float, float] = _CLIP_STD
    """Divides each channel."""
    rescale: float = 1 / 255
    """Multiplies a pixel's value before mean and std."""
    resample: int = int(Image.Resampling.BICUBIC)
    """Pillow's resampling filter."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, where: str) -> ImageSettings:
        """Reads a preprocessor_config.json of the Qwen family, of any age.

        Raises:
            PolicyError: a step of the processing is switched off, or a value is missing; the message names `where`.
        """
        for step in ("do_resize", "do_rescale", "do_normalize"):
            if not config.get(step, True):
                raise PolicyError(f"{where}: {step} is off; expected resizing, rescaling and normalizing to be on")
        size = config.get("size") or {}
        try:
            return cls(
                patch=int(config["patch_size"]),
                merge=int(config["merge_size"]),
                temporal=int(config["temporal_patch_size"]),
                min_pixels=int(config.get("min_pixels") or size["shortest_edge"]),
                max_pixels=int(config.get("max_pixels") or size["longest_edge"]),
                mean=tuple(config.get("image_mean", _CLIP_MEAN)),
                std=tuple(config.get("image_std", _CLIP_STD)),
                rescale=float(config.get("rescale_factor", 1 / 255)),
                resample=int(config.get("resample", Image.Resampling.BICUBIC)),
            )
        except KeyError as missing:
            raise PolicyError(f"{where}: expected a value for {missing}; got only {sorted(config)}") from None

    def grid(self, image: ImageRef) -> Grid:
        """The grid of an image after resizing."""
        height, width = self.fitted_size(image.height, image.width)
        return Grid(height // self.patch, width // self.patch)

    def token_count(self, grid: Grid) -> int:
        """How many tokens an image of this grid takes in the text."""
        return grid.height * grid.width // self.merge**2

    def fitted_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels after resizing: whole image tokens, about the same shape, within the limits.

        It is the library's size wherever that is within `max_pixels` and at most 200 times as long as wide, which is
        what the library accepts. Longer shapes are squeezed, for their shorter side cannot be less than a token.
        """
        factor = self.patch * self.merge
        height, width = min(height, _LONGEST_SHAPE * width), min(width, _LONGEST_SHAPE * height)
        fitted = round(height / factor) * factor, round(width / factor) * factor
        if fitted[0] * fitted[1] > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            fitted = (
                max(factor, math.floor(height / shrink / factor) * factor),
                max(factor, math.floor(width / shrink / factor) * factor),
            )
        elif fitted[0] * fitted[1] < self.min_pixels:
            enlarge = math.sqrt(self.min_pixels / (height * width))
            fitted = math.ceil(height * enlarge / factor) * factor, math.ceil(width * enlarge / factor) * factor
        return self._squeezed(*fitted)

    def _squeezed(self, height: int, width: int) -> tuple[int, int]:
        """A size of whole tokens, its longer side reduced as far as the limits ask for it."""
        factor = self.patch * self.merge
        shorter, longer = sorted((height, width))
        reduced = max(shorter, min(longer, _LONGEST_SHAPE * shorter, self.max_pixels // shorter // factor * factor))
        # Where the limits lie close together there may be no size within both; below the lower one the library would
        # enlarge the image again.
        if shorter * reduced >= self.min_pixels:
            longer = reduced
        return (longer, shorter) if height > width else (shorter, longer)

    def fitted(self, image: ImageRef) -> Pixels:
        """The pixels after resizing: the image's own where it fits as it is."""
        height, width = self.fitted_size(image.height, image.width)
        if (height, width) == (image.height, image.width):
            return image.pixels
        return np.array(image.to_pil().resize((width, height), Image.Resampling(self.resample)))
