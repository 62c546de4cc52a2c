"""Defines rotary positions: one axis for models of text, three (time, height, width) for models that see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from axpo_agents.formats.image_settings import Grid

Positions = npt.NDArray[np.int64]


def text_positions(length: int, axes: int) -> Positions:
    """Positions of plain text: 0, 1, 2, ... on every axis; shape (axes, length)."""
    return np.tile(np.arange(length, dtype=np.int64), (axes, 1))


def multimodal_positions(length: int, starts: Sequence[int], grids: Sequence[Grid]) -> Positions:
    """Positions of a sequence with images (mRoPE of Qwen2-VL, arXiv:2409.12191, section 2.1).

    Text advances every axis by one per token. An image's tokens share one time and count rows and columns from there;
    the text after it goes on past its longer side.

    Worked value: one text token, an image of 2 x 3 tokens, one text token give
    time (0, 1 1 1 1 1 1, 4), height (0, 1 1 1 2 2 2, 4), width (0, 1 2 3 1 2 3, 4).

    Args:
        length: tokens of the sequence.
        starts: where each image's first token stands.
        grids: the image's size in tokens (not patches), in the same order.

    Returns:
        int64 array of shape (3, length).
    """
    positions = text_positions(length, 3)
    for start, grid in zip(starts, grids, strict=True):
        stop = start + grid.height * grid.width
        first = positions[0, start]
        positions[0, start:stop] = first
        positions[1, start:stop] = first + np.arange(grid.height).repeat(grid.width)
        positions[2, start:stop] = first + np.tile(np.arange(grid.width), grid.height)
        positions[:, stop:] += max(grid.height, grid.width) - (stop - start)
    return positions
