"""Defines the caches of keys and values: `SlotCache`, a batch of rows, and `PrefixMemory`, what is kept of them.

Rows of a batch share one axis of slots, and each row knows which slots are its own. Rotary positions are applied before
keys are stored, so the holes between a row's slots (padding, neighbours that wrote longer turns) change nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from axpo_agents.engine._trunks import Stem, Trunk, TrunkRows, rows_by_trunk

_GROWTH: Final = 64
"""Slots that a full buffer gains at least; half of its size if that is more."""


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]  # the library has no types
    """One layer's buffers, of shape (rows, heads, capacity, head size), of which `length` slots are used."""

    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    @property
    def nbytes(self) -> int:
        """Memory of the buffers."""
        return int(self.keys.nbytes + self.values.nbytes) if self.is_initialized else 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Makes empty buffers for such tensors."""
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends slots; returns the keys and values of all slots in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        stop = self.length + key_states.shape[2]
        capacity = self.keys.shape[2]
        if stop > capacity:
            capacity = max(stop, capacity + max(_GROWTH, capacity // 2))
            self.keys, self.values = _enlarged(self.keys, capacity), _enlarged(self.values, capacity)
        self.keys[:, :, self.length : stop] = key_states
        self.values[:, :, self.length : stop] = value_states
        self.length = stop
        return self.keys[:, :, :stop], self.values[:, :, :stop]

    def place(self, source: SlotLayer, move: Move) -> None:
        """Copies slots of some of `source`'s rows to the front of some of this layer's rows."""
        if not self.is_initialized:
            self.keys, self.values = (_empty(buffer, move) for buffer in (source.keys, source.values))
            self.is_initialized = True
            self.length = move.width
        for buffer, old in ((self.keys, source.keys), (self.values, source.values)):
            if move.slots is not None:
                buffer[move.targets, :, : move.width] = old[move.rows[:, None], :, move.slots].transpose(1, 2)
                continue
            # Slots that lie in order are copied row by row as they are, which is many times faster.
            for target, row in zip(move.targets.tolist(), move.rows.tolist(), strict=True):
                buffer[target, :, : move.width] = old[row, :, : move.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys that `query_length` new tokens see."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Slots in use."""
        return self.length

    def get_max_length(self) -> int:
        """No limit."""
        return -1


class Move(NamedTuple):
    """Slots that go from one cache to another."""

    rows: torch.Tensor
    """Rows they come from, shape (n,)."""
    slots: torch.Tensor | None
    """Slots of each, shape (n, width); None for the first `width` of all."""
    targets: torch.Tensor
    """Rows they go to, shape (n,)."""
    width: int
    """How many of each row."""
    size: int
    """Rows of the cache they go to."""


def _empty(like: torch.Tensor, move: Move) -> torch.Tensor:
    # Zeros, because slots that a row does not own are multiplied by zero and must be finite; what is copied is.
    new = like.new_empty if move.slots is None and len(move.rows) == move.size else like.new_zeros
    return new(move.size, like.shape[1], move.width + _GROWTH, like.shape[3])


def _enlarged(buffer: torch.Tensor, capacity: int) -> torch.Tensor:
    larger = buffer.new_zeros(*buffer.shape[:2], capacity, buffer.shape[3])
    larger[:, :, : buffer.shape[2]] = buffer
    return larger


class SlotCache:
    """The keys and values of a batch of rows.

    Args:
        layer_count: layers of the model.
        trunks: what stands before each row's slots; () where nothing does.
        device: where the trunks are.
    """

    def __init__(
        self, layer_count: int, trunks: Sequence[Trunk | None] = (), device: torch.device | None = None
    ) -> None:
        self.layers = [SlotLayer() for _ in range(layer_count)]
        self.trunks = tuple(trunks)
        self.shared: tuple[TrunkRows, ...] = rows_by_trunk(trunks, device or torch.device("cpu"))
        """The rows of each trunk."""
        self.library_cache = Cache(layers=self.layers)
        """The same as a model's forward takes it."""
        self.owned: npt.NDArray[np.bool_] = np.zeros((0, 0), dtype=np.bool_)
        """Which slots are a row's own, shape (rows, slots)."""

    @property
    def slots(self) -> int:
        """Slots in use."""
        return self.layers[0].length

    @property
    def nbytes(self) -> int:
        """Memory of the buffers, without the trunks'."""
        return sum(layer.nbytes for layer in self.layers)

    @property
    def stems(self) -> dict[int, Stem]:
        """The stems of all trunks, by identity."""
        return {id(rows.trunk.stem): rows.trunk.stem for rows in self.shared}

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Tokens of each row, shape (rows,)."""
        sizes: npt.NDArray[np.int64] = self.owned.sum(axis=1)
        if self.trunks:
            sizes += np.array([0 if trunk is None else trunk.length for trunk in self.trunks], dtype=np.int64)
        return sizes


class Pick(NamedTuple):
    """The first tokens of a row of a cache."""

    cache: SlotCache | None
    """The cache; None for a row that starts empty."""
    row: int
    """The row in it."""
    kept: int
    """How many of its tokens."""


def gather(picks: Sequence[Pick], layer_count: int) -> SlotCache:
    """A new cache whose rows are copies of picked rows, their slots moved together at the front; trunks are shared."""
    trunks = [_trunk(pick) for pick in picks]
    counts = np.array([p.kept - (0 if t is None else t.length) for p, t in zip(picks, trunks, strict=True)])
    width = int(counts.max())
    stems = [trunk.stem for trunk in trunks if trunk is not None]
    gathered = SlotCache(layer_count, trunks, stems[0].keys[0].device) if stems else SlotCache(layer_count)
    gathered.owned = np.arange(width) < counts[:, None]
    members: dict[int, list[int]] = {}
    for index, pick in enumerate(picks):
        if counts[index]:
            members.setdefault(id(pick.cache), []).append(index)
    for targets in members.values():
        source = picks[targets[0]].cache
        assert source is not None
        rows = np.array([picks[target].row for target in targets])
        # A stable sort brings the row's own slots to the front, in order.
        slots = np.argsort(~source.owned[rows], axis=1, kind="stable")[:, :width]
        in_order = slots.shape[1] == width and bool((slots == np.arange(width)).all())
        slots = np.pad(slots, ((0, 0), (0, width - slots.shape[1])))
        device = source.layers[0].keys.device
        move = Move(
            rows=torch.from_numpy(rows).to(device),
            slots=None if in_order else torch.from_numpy(slots).to(device),
            targets=torch.tensor(targets, device=device),
            width=width,
            size=len(picks),
        )
        for new, old in zip(gathered.layers, source.layers, strict=True):
            new.place(old, move)
    return gathered


def _trunk(pick: Pick) -> Trunk | None:
    """As much of the row's trunk as is picked."""
    trunk = pick.cache.trunks[pick.row] if pick.cache is not None and pick.cache.trunks else None
    return None if trunk is None else Trunk(trunk.stem, min(trunk.length, pick.kept))


def planted(pick: Pick, layer_count: int) -> Pick:
    """The same tokens, a trunk's among them, as the trunk of a row that owns nothing: rows gathered from it share them.

    Args:
        pick: reaches beyond the row's trunk if it has one.
        layer_count: layers of the model.
    """
    row = gather([pick], layer_count)
    trunk = row.trunks[0] if row.trunks else None
    own = row.owned.shape[1]
    layers = [(layer.keys[0, :, :own], layer.values[0, :, :own]) for layer in row.layers]
    if trunk is not None:
        before = [trunk.layer(number) for number in range(layer_count)]
        layers = [
            (torch.cat([keys, more], dim=1), torch.cat([values, others], dim=1))
            for (keys, values), (more, others) in zip(before, layers, strict=True)
        ]
    keys, values = zip(*layers, strict=True)
    stem = Stem(keys=keys, values=values)
    cache = SlotCache(layer_count, [Trunk(stem, pick.kept)], stem.keys[0].device)
    cache.owned = np.zeros((1, 0), dtype=np.bool_)
    return Pick(cache, 0, pick.kept)


class PrefixMemory:
    """Rows that were read lately, found again by their first tokens. Oldest caches go first when memory runs out.

    Tokens are compared by id, images by a number made of their digest in place of their first placeholder.

    Args:
        limit: bytes that all kept caches may take together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._caches: deque[tuple[SlotCache, list[tuple[tuple[int, ...], int]]]] = deque()
        self._index: list[tuple[tuple[int, ...], SlotCache, int]] | None = None

    @property
    def nbytes(self) -> int:
        """Memory of the kept caches, each stem counted once."""
        stems = {key: stem for cache, _ in self._caches for key, stem in cache.stems.items()}
        return sum(cache.nbytes for cache, _ in self._caches) + sum(stem.nbytes for stem in stems.values())

    def remember(self, cache: SlotCache, rows: Mapping[int, tuple[int, ...]]) -> None:
        """Keeps a cache, if it fits at all, for the sake of some of its rows; each comes with the tokens it holds."""
        if cache.nbytes + sum(stem.nbytes for stem in cache.stems.values()) > self.limit:
            return
        self._caches.append((cache, [(tokens, row) for row, tokens in rows.items()]))
        while self.nbytes > self.limit:
            self._caches.popleft()
        self._index = None

    def find(self, tokens: tuple[int, ...]) -> Pick:
        """The row that shares most first tokens with `tokens`; at least one token is left to be read."""
        if self._index is None:
            rows = [(held, cache, row) for cache, members in self._caches for held, row in members]
            self._index = sorted(rows, key=lambda entry: entry[0])
        # In sorted order, the longest common prefix is shared with a neighbour.
        place = bisect_left(self._index, tokens, key=lambda entry: entry[0])
        best = Pick(None, 0, 0)
        for held, cache, row in self._index[max(place - 1, 0) : place + 1]:
            kept = min(shared(held, tokens), len(tokens) - 1)
            if kept > best.kept:
                best = Pick(cache, row, kept)
        return best

    def forget(self) -> None:
        """Drops everything."""
        self._caches.clear()
        self._index = None


def shared(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Tokens that both begin with."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
