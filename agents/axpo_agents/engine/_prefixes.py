"""Defines `PrefixReader`, which reads prefixes into caches: equal ones once, of each only what is not remembered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from axpo_agents.engine._kv_cache import Pick, PrefixMemory, gather, planted, shared
from axpo_agents.engine._reading import Reading
from axpo_agents.engine.network import Network
from axpo_agents.policy import Prefix

_MAX_SCORES: Final = 2**26
"""Rows x new tokens x slots of one reading pass: the size of its attention mask."""
LEAST_COMMON: Final = 128
"""Tokens that all prefixes of a call begin with are read in a pass of their own where there are so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A distinct prefix, forced tokens included."""

    reading: Reading
    """Its tokens as the network reads them."""
    tokens: tuple[int, ...]
    """Its tokens as memory compares them."""


class PrefixReader:
    """Reads prefixes.

    Args:
        network: the model.
        memory: rows that were read before.
    """

    def __init__(self, network: Network, memory: PrefixMemory) -> None:
        self.network = network
        self.memory = memory

    def distinct(self, prefixes: Sequence[Prefix]) -> list[Target]:
        """The target of each prefix; equal prefixes share one."""
        known: dict[tuple[object, ...], Target] = {}
        targets = []
        for prefix in prefixes:
            ids, images = prefix.sequence.ids + prefix.forced, prefix.sequence.images
            target = known.get((ids, images))
            if target is None:
                reading = self.network.read(ids, images)
                tokens = list(ids)
                for start, image in zip(reading.starts, images, strict=True):
                    tokens[start] = -1 - int(image.digest, 16)
                target = known[ids, images] = Target(reading=reading, tokens=tuple(tokens))
            targets.append(target)
        return targets

    def read(self, targets: Sequence[Target]) -> tuple[list[Pick], torch.Tensor]:
        """Where each target's keys and values are, and the logits of its next token, shape (targets, vocabulary)."""
        network = self.network
        found = self._found(targets)
        news = [t.reading.part(p.kept, len(t.tokens)) for t, p in zip(targets, found, strict=True)]
        features = network.encode_images([image for new in news for image in new.images])
        picks = list(found)
        logits: list[torch.Tensor | None] = [None] * len(targets)
        for members in _portions([pick.kept for pick in found], [len(new.ids) for new in news]):
            cache = gather([found[member] for member in members], network.layer_count)
            batch = network.collate([news[member] for member in members], align="right")
            mask = _reading_mask(cache.owned, batch.filled)
            on_device = None if mask is None else torch.from_numpy(mask).to(network.device)
            last = network.logits(batch, keep=1, features=features, cache=cache, mask=on_device)[:, -1]
            cache.owned = np.concatenate([cache.owned, batch.filled], axis=1)
            for row, member in enumerate(members):
                picks[member] = Pick(cache, row, len(targets[member].tokens))
                logits[member] = last[row]
        return picks, torch.stack([row for row in logits if row is not None])

    def _found(self, targets: Sequence[Target]) -> list[Pick]:
        """What is known of each target: what is remembered, or what all of them begin with, which is then read."""
        found = [self.memory.find(target.tokens) for target in targets]
        common = _common([target.tokens for target in targets])
        # Where anything remembered reaches beyond what is common, it does so for all.
        if len(targets) < 2 or common - found[0].kept < LEAST_COMMON:
            return found
        tokens = targets[0].tokens[:common]
        (pick,), _ = self.read([Target(reading=targets[0].reading.part(0, common), tokens=tokens)])
        if self.network.device.type == "cpu":
            pick = planted(pick, self.network.layer_count)
        assert pick.cache is not None
        self.memory.remember(pick.cache, {pick.row: tokens})
        return [pick] * len(targets)


def _common(prefixes: Sequence[tuple[int, ...]]) -> int:
    """Tokens that all prefixes begin with; at least one of each is left."""
    # In sorted order, the first and the last differ soonest.
    first, last = min(prefixes), max(prefixes)
    return min(shared(first, last), *(len(prefix) - 1 for prefix in prefixes))


def _portions(kept: Sequence[int], new: Sequence[int]) -> Iterator[list[int]]:
    """Rows that are read together: of similar length, and not more than an attention mask of fixed size covers."""
    portion: list[int] = []
    for row in sorted(range(len(new)), key=lambda row: (new[row], kept[row])):
        rows = [*portion, row]
        scores = len(rows) * new[row] * (new[row] + max(kept[member] for member in rows))
        if portion and (scores > _MAX_SCORES or new[row] > 4 * new[portion[0]]):
            yield sorted(portion)
            portion = []
        portion.append(row)
    yield sorted(portion)


def _reading_mask(owned: npt.NDArray[np.bool_], filled: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
    """Who sees what when new tokens are read behind cached ones.

    Args:
        owned: slots of each row, shape (rows, slots).
        filled: False where the new tokens are padding, shape (rows, new).

    Returns:
        bool array of shape (rows, 1, new, slots + new); None where plain causal attention does the same.
    """
    rows, slots = owned.shape
    new = filled.shape[1]
    if filled.all() and (slots == 0 or (new == 1 and owned.all())):
        return None
    causal = np.tril(np.ones((new, new), dtype=np.bool_))
    # Padding sees itself, because attention over nothing is not a number.
    own = (causal & filled[:, None, :]) | np.eye(new, dtype=np.bool_)
    before = np.broadcast_to(owned[:, None, :], (rows, new, slots))
    return np.concatenate([before, own], axis=2)[:, None]
