"""Defines `AskedFeatures`, the network that sees: what is in an image and where, as the question asks."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

_CHANNELS: Final = (16, 32, 32)
_STRIDES: Final = (2, 2, 1)


class AskedFeatures(BaseFeaturesExtractor):
    """Three convolutions whose channels the question scales and shifts (FiLM, Perez et al. 2018); of each channel of
    the last one its maximum, wherever that is, and the place of its softmax (Levine et al. 2016). So one and the same
    detector reads a sign at every place, and says where to look closer. Without images, the words alone.

    Args:
        space: that of `FixedSpaces`; images are given as SB3 hands them over, float32 (B, 3, S, S) from 0 to 1.
        features_dim: size of what comes out, (B, features_dim).
    """

    def __init__(self, space: spaces.Dict, features_dim: int = 128) -> None:
        super().__init__(space, features_dim)
        sizes = {key: held.shape[0] for key, held in space.spaces.items() if held.shape and len(held.shape) == 1}
        self._keys: Final = tuple(sorted(sizes))
        self._sees: Final = "image" in space.spaces
        inputs = sum(sizes.values()) + (3 * _CHANNELS[-1] if self._sees else 0)
        self.convolutions = nn.ModuleList()
        if self._sees:
            for (before, after), stride in zip(pairwise((3, *_CHANNELS)), _STRIDES, strict=True):
                self.convolutions.append(nn.Conv2d(before, after, 3, stride=stride, padding=1))
            self.asked = nn.Linear(sizes["question"], 2 * sum(_CHANNELS))
            nn.init.zeros_(self.asked.bias)
            self.sharpness = nn.Parameter(torch.tensor(1.0))
        self.whole = nn.Linear(inputs, features_dim)

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features of a batch, float32 (B, features_dim)."""
        known = [observations[key] for key in self._keys]
        if self._sees:
            # On processors almost twice as fast.
            image = (observations["image"] - 0.5).contiguous(memory_format=torch.channels_last)
            known += self._seen(image, observations["question"])
        return torch.relu(self.whole(torch.cat(known, dim=1)))

    def _seen(self, image: torch.Tensor, question: torch.Tensor) -> list[torch.Tensor]:
        """Of each channel the maximum, x and y, each (B, channels); x and y from -1 to 1."""
        asked = self.asked(question)[:, :, None, None].split((*_CHANNELS, *_CHANNELS), dim=1)
        layers = len(_CHANNELS)
        for number, convolution in enumerate(self.convolutions):
            image = torch.relu(convolution(image) * (1 + asked[number]) + asked[layers + number])
        weights = torch.softmax((image * self.sharpness.exp()).flatten(2), dim=2).reshape(image.shape)
        across, down = (torch.linspace(-1, 1, side, device=image.device) for side in (image.shape[3], image.shape[2]))
        return [image.amax((2, 3)), (weights.sum(2) * across).sum(-1), (weights.sum(3) * down).sum(-1)]
