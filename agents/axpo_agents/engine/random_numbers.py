"""Defines `random_numbers`: the number behind each token is a function of its turn's seed and its place in the turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from axpo_agents.policy import Prefix

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_BITS: Final = 50
"""A few less than a float64 holds: numbers below 1 stay below it when they are multiplied by a rounded sum."""


def random_numbers(prefixes: Sequence[Prefix], length: int, seed: int) -> torch.Tensor:
    """Numbers for the tokens after each prefix, float64 in [0, 1), shape (prefixes, length).

    Each prefix has a stream of its own (SplitMix64), which its seed chooses, or the call's seed and its place. So a
    turn gets the same numbers whatever is sampled beside it, and however long the others may become.

    Args:
        prefixes: what is continued.
        length: how many numbers each needs at most.
        seed: of the prefixes that have none.
    """
    whole = 2**64 - 1
    places = _mixed(np.uint64(seed & whole) + _GOLDEN * np.arange(len(prefixes), dtype=np.uint64))
    own = np.array([(prefix.seed or 0) & whole for prefix in prefixes], dtype=np.uint64)
    has_own = np.array([prefix.seed is not None for prefix in prefixes], dtype=np.bool_)
    streams = np.where(has_own, own, places)
    numbers = _mixed(streams[:, None] + _GOLDEN * np.arange(1, length + 1, dtype=np.uint64))
    return torch.from_numpy((numbers >> np.uint64(64 - _BITS)) * 2.0**-_BITS)


def _mixed(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
