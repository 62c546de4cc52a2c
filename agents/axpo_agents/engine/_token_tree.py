"""Defines `TokenTree`: the sequences of groups and their branches, every shared stretch of tokens held once.

The rollouts of a group share their prompt, and continuations share the prefix that was frozen for them, so together
they form a tree: a segment is a stretch of tokens, its children are the ways it goes on. Groups with different prompts
are different roots of the same object. Segments lie in depth-first pre-order, so each subtree is one stretch too, and
token q sees token k exactly if `(k <= q) & (q < sub_end[k])`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from axpo_agents.engine._reading import Reading

Places = npt.NDArray[np.int64]
"""Positions of tokens in a tree's layout."""
_Flags = npt.NDArray[np.bool_]

SHORTEST_SHARED: Final = 8
"""Fewer tokens than this in common are not worth a segment of their own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """A stretch of tokens that the same sequences pass through."""

    parent: int | None
    """Number of the segment it goes on from; None for a root."""
    reading: Reading
    """Its tokens, at least one; positions go on from the parent's."""
    sampled: _Flags
    """The train mask, shape (length,): where a policy wrote the token in at least one of the sequences."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenTree:
    """Sequences as segments that are laid end to end.

    Worked value: (7, 8, 3, 4), (7, 8, 3, 5) and (7, 8, 6) with `shortest=1` have the segments (7, 8), (3), (4), (5) and
    (6), the parents (None, 0, 1, 1, 0), the paths (0, 1, 2), (0, 1, 3) and (0, 4), and sub_end (6, 6, 5, 4, 5, 6).
    """

    segments: tuple[Segment, ...]
    """In depth-first pre-order."""
    paths: tuple[tuple[int, ...], ...]
    """The segments of each sequence, root first; () for a sequence without tokens."""

    @classmethod
    def of(
        cls, readings: Sequence[Reading], sampled: Sequence[_Flags], *, shortest: int = SHORTEST_SHARED
    ) -> TokenTree:
        """The tree of sequences. Tokens are shared where all tokens before them are equal too, images by content.

        Args:
            readings: the sequences.
            sampled: of each, where a policy wrote the token, shape (length,).
            shortest: fewer tokens than this in common are repeated instead.
        """
        return _Grower(readings, sampled, shortest).tree()

    @property
    def length(self) -> int:
        """Tokens of all segments."""
        return sum(len(segment.reading) for segment in self.segments)

    @property
    def starts(self) -> Places:
        """Where each segment begins, and where the last one ends; shape (segments + 1,)."""
        return np.cumsum([0, *(len(segment.reading) for segment in self.segments)], dtype=np.int64)

    @property
    def last(self) -> Places:
        """Number of the last segment of each segment's subtree, shape (segments,)."""
        last = np.arange(len(self.segments))
        for number in range(len(self.segments) - 1, -1, -1):
            parent = self.segments[number].parent
            if parent is not None:
                last[parent] = max(last[parent], last[number])
        return last

    @property
    def sub_end(self) -> Places:
        """Where the subtree of each token's segment ends, shape (length,)."""
        starts = self.starts
        return np.repeat(starts[self.last + 1], np.diff(starts))

    @property
    def reading(self) -> Reading:
        """All tokens in order; the tree has at least one."""
        return Reading.joined([segment.reading for segment in self.segments])

    @property
    def sampled(self) -> _Flags:
        """The train mask of all tokens in order, shape (length,)."""
        return np.concatenate([segment.sampled for segment in self.segments])

    def places(self) -> tuple[Places, ...]:
        """Where each sequence's tokens lie in the layout, shape (its length,)."""
        starts = self.starts
        own = [np.arange(start, stop) for start, stop in pairwise(starts)]
        empty = np.zeros(0, dtype=np.int64)
        return tuple(np.concatenate([empty, *(own[number] for number in path)]) for path in self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cluster:
    """Sequences that go on alike, before it is known for how long."""

    members: tuple[int, ...]
    """Numbers of the sequences, at least one."""
    depth: int
    """Tokens of each that lie in segments already."""
    path: tuple[int, ...]
    """Those segments."""


class _Grower:
    """Builds a tree, segment by segment."""

    def __init__(self, readings: Sequence[Reading], sampled: Sequence[_Flags], shortest: int) -> None:
        self._readings = readings
        self._sampled = sampled
        self._shortest = shortest
        self._keys = _keys(readings)
        self._segments: list[Segment] = []
        self._paths: list[tuple[int, ...]] = [()] * len(readings)

    def tree(self) -> TokenTree:
        # What is pushed last is taken first, so children are pushed in reverse.
        pending = [*reversed([*self._clusters(range(len(self._readings)), 0, ())])]
        while pending:
            pending += reversed([*self._settle(pending.pop())])
        return TokenTree(segments=tuple(self._segments), paths=tuple(self._paths))

    def _settle(self, cluster: _Cluster) -> Iterator[_Cluster]:
        """Makes the cluster's segment; yields how its sequences go on."""
        start, stop = cluster.depth, self._shared(cluster)
        first = cluster.members[0]
        segment = Segment(
            parent=cluster.path[-1] if cluster.path else None,
            reading=self._readings[first].part(start, stop),
            sampled=np.logical_or.reduce([self._sampled[member][start:stop] for member in cluster.members]),
        )
        path = (*cluster.path, len(self._segments))
        self._segments.append(segment)
        for member in cluster.members:
            self._paths[member] = path
        return self._clusters([m for m in cluster.members if len(self._keys[m]) > stop], stop, path)

    def _clusters(self, members: Sequence[int], depth: int, path: tuple[int, ...]) -> Iterator[_Cluster]:
        clusters: dict[bytes, list[int]] = {}
        for member in members:
            ahead = self._keys[member][depth : depth + self._shortest]
            if len(ahead):
                clusters.setdefault(ahead.tobytes(), []).append(member)
        return (_Cluster(members=tuple(together), depth=depth, path=path) for together in clusters.values())

    def _shared(self, cluster: _Cluster) -> int:
        """Where the first of the cluster's sequences ends or parts from the others."""
        first = self._keys[cluster.members[0]]
        stop = len(first)
        for member in cluster.members[1:]:
            key = self._keys[member]
            stop = min(stop, len(key))
            different = first[cluster.depth : stop] != key[cluster.depth : stop]
            if different.any():
                stop = cluster.depth + int(different.argmax())
        return stop


def _keys(readings: Sequence[Reading]) -> list[npt.NDArray[np.int64]]:
    """Token ids, with a negative number for the image in place of each image's first placeholder."""
    numbers: dict[str, int] = {}
    keys = []
    for reading in readings:
        key = reading.ids.copy()
        for start, image in zip(reading.starts, reading.images, strict=True):
            key[start] = -1 - numbers.setdefault(image.digest, len(numbers))
        keys.append(key)
    return keys
