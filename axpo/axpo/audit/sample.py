"""Defines `Sample`, a bounded sample of a stream that is the same whenever the stream is."""

from __future__ import annotations

import hashlib
import heapq
from typing import NamedTuple


class Kept(NamedTuple):
    """One record of a sample."""

    number: int
    """Its place in the order of reading."""
    place: str
    """Where it stands, for people."""


class Sample:
    """Records of a stream, each as likely to be among them as any other, and no random number drawn.

    Those with the smallest digests of their numbers are kept: bottom-k sampling.

    Args:
        size: how many are kept at most.

    Attributes:
        offered: how many were considered.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.offered = 0
        self._heap: list[tuple[int, Kept]] = []

    def offer(self, number: int, place: str) -> None:
        """Considers one record."""
        self.offered += 1
        rank = -rank_of(number)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (rank, Kept(number, place)))
        elif rank > self._heap[0][0]:
            heapq.heapreplace(self._heap, (rank, Kept(number, place)))

    @property
    def kept(self) -> tuple[Kept, ...]:
        """The sample in the order in which it was drawn: the first few are a smaller sample."""
        return tuple(kept for _, kept in sorted(self._heap, reverse=True))


def rank_of(number: int) -> int:
    """A number's place in an order that has nothing to do with its size."""
    return int.from_bytes(hashlib.blake2b(number.to_bytes(8, "big"), digest_size=8).digest(), "big")
