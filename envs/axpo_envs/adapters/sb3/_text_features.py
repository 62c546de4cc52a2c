"""Defines `TextFeatures`, a text as an array of fixed size: which words it has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from axpo_envs.errors import EnvConfigError

_WORD: Final = re.compile(r"\w+")


class TextFeatures:
    """Which words a text has, in any order and case: 1 where one is there, else 0.

    Args:
        size: words are hashed to so many places (blake2b, the same in every process); several may share one.
        words: these words and no others, a place for each, instead.

    Raises:
        EnvConfigError: there is no place, or a word stands twice or is none.
    """

    def __init__(self, size: int = 64, *, words: Sequence[str] | None = None) -> None:
        self._places: dict[str, int] | None = None
        if words is not None:
            self._places = {word.casefold(): place for place, word in enumerate(words)}
            if len(self._places) < len(words) or not all(_WORD.fullmatch(word) for word in words):
                raise EnvConfigError(f"text features: expected different words without spaces; got {list(words)!r}")
            size = len(words)
        if size < 1:
            raise EnvConfigError(f"text features: expected a size >= 1 or some words; got {size}")
        self.size: Final = size
        """Places of an array."""

    def __call__(self, text: str) -> npt.NDArray[np.float32]:
        """The features of a text: float32 of shape (size,)."""
        features = np.zeros(self.size, np.float32)
        for word in _WORD.findall(text.casefold()):
            place = _hashed(word) % self.size if self._places is None else self._places.get(word)
            if place is not None:
                features[place] = 1.0
        return features


@lru_cache(maxsize=65536)
def _hashed(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
