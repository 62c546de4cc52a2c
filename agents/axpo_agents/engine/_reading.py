"""Defines `Reading`: a stretch of tokens with everything a network needs to know of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from axpo_agents.engine._positions import Positions
from axpo_envs.images import ImageRef


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """A stretch of tokens with everything the network needs to know of each."""

    ids: npt.NDArray[np.int64]
    """Token ids, shape (length,)."""
    positions: Positions
    """Rotary positions, shape (axes, length)."""
    images: tuple[ImageRef, ...]
    """Images whose placeholders lie in the stretch, in order."""
    starts: tuple[int, ...]
    """Where each image's first placeholder lies in `ids`."""

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> Reading:
        """The tokens from `start` to `stop`; neither may lie inside an image."""
        inside = [index for index, first in enumerate(self.starts) if start <= first < stop]
        return Reading(
            ids=self.ids[start:stop],
            positions=self.positions[:, start:stop],
            images=tuple(self.images[index] for index in inside),
            starts=tuple(self.starts[index] - start for index in inside),
        )

    @classmethod
    def joined(cls, parts: Sequence[Reading]) -> Reading:
        """Stretches end to end, each keeping its positions.

        Args:
            parts: at least one.
        """
        offsets = np.cumsum([0, *(len(part) for part in parts)])
        return cls(
            ids=np.concatenate([part.ids for part in parts]),
            positions=np.concatenate([part.positions for part in parts], axis=1),
            images=tuple(image for part in parts for image in part.images),
            starts=tuple(
                start + int(offset) for part, offset in zip(parts, offsets, strict=False) for start in part.starts
            ),
        )
