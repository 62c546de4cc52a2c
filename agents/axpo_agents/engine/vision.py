"""Defines `Patchifier`: how images become patches.

The result equals that of Transformers' Pillow image processor of the Qwen family bit for bit and needs no
torchvision, so a policy sees the same numbers on every machine.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from axpo_agents.formats.image_settings import Grid, ImageSettings
from axpo_envs.images import ImageRef, Pixels

_CACHE_BYTES: Final = 256 * 2**20


class Patchifier:
    """Turns images into patches. Resized pixels are kept by digest, up to a fixed number of bytes."""

    def __init__(self, settings: ImageSettings) -> None:
        self.settings = settings
        self._resized: OrderedDict[str, Pixels] = OrderedDict()
        self._resized_bytes = 0
        # A pixel has 256 values: the processor's float arithmetic on them, done once per channel.
        levels = (np.arange(256, dtype=np.float64) * settings.rescale).astype(np.float32)
        mean, std = np.asarray(settings.mean, np.float32), np.asarray(settings.std, np.float32)
        self._levels = torch.from_numpy(((levels[None] - mean[:, None]) / std[:, None]).reshape(-1))

    def patches(self, images: Sequence[ImageRef], grid: Grid, device: torch.device) -> torch.Tensor:
        """The patches of images that share a grid.

        Returns:
            float32 tensor of shape (images x grid.height x grid.width, 3 x temporal x patch x patch): image by image,
            block of merge x merge patches by block.
        """
        settings = self.settings
        pixels = torch.from_numpy(np.stack([self._fit(image) for image in images])).to(device)
        merge, patch = settings.merge, settings.patch
        blocks = pixels.view(len(images), grid.height // merge, merge, patch, grid.width // merge, merge, patch, 3)
        # (image, block row, block column, row in block, column in block, channel, y, x)
        blocks = blocks.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(-1, 3, patch * patch)
        channels = torch.arange(0, 768, 256, device=device, dtype=torch.int32)[None, :, None]
        values = self._levels.to(device)[blocks.int() + channels]
        return values[:, :, None].expand(-1, -1, settings.temporal, -1).reshape(len(blocks), -1)

    def _fit(self, image: ImageRef) -> Pixels:
        kept = self._resized.get(image.digest)
        if kept is None:
            kept = self.settings.fitted(image)
            if kept is image.pixels:
                return kept
            self._resized[image.digest] = kept
            self._resized_bytes += kept.nbytes
            while self._resized_bytes > _CACHE_BYTES and len(self._resized) > 1:
                self._resized_bytes -= self._resized.popitem(last=False)[1].nbytes
        self._resized.move_to_end(image.digest)
        return kept
