"""Tests of axpo_agents.engine._kv_cache: slots that move, grow and are found again."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from axpo_agents.engine._kv_cache import Pick, PrefixMemory, SlotCache, SlotLayer, gather

tokens = st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple)


def filled(rows: int, slots: int) -> SlotCache:
    """A cache of one layer whose keys tell row and slot: 100 * row + slot; values are their negatives."""
    cache = SlotCache(1)
    numbers = (torch.arange(rows)[:, None] * 100 + torch.arange(slots)).float()[:, None, :, None]
    cache.layers[0].update(numbers, -numbers)
    cache.owned = np.ones((rows, slots), dtype=np.bool_)
    return cache


def test_a_layer_returns_what_it_was_given_while_it_grows() -> None:
    layer = SlotLayer()
    states = torch.randn(2, 3, 150, 4)
    for start in range(0, 150, 10):
        keys, values = layer.update(states[:, :, start : start + 10], 2 * states[:, :, start : start + 10])
    assert torch.equal(keys, states)
    assert torch.equal(values, 2 * states)
    assert layer.get_mask_sizes(5) == (155, 0)


def test_gathered_rows_have_their_own_slots_at_the_front() -> None:
    cache = filled(3, 4)
    cache.owned = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]], dtype=np.bool_)
    gathered = gather([Pick(cache, 1, 2), Pick(cache, 0, 3), Pick(cache, 0, 1)], 1)
    layer = gathered.layers[0]
    assert gathered.owned.tolist() == [[True, True, False], [True, True, True], [True, False, False]]
    assert layer.keys[0, 0, :2, 0].tolist() == [101, 102]
    assert layer.keys[1, 0, :3, 0].tolist() == [0, 2, 3]
    assert layer.values[2, 0, 0, 0].item() == 0
    assert gathered.slots == 3


def test_gathering_joins_caches_and_rows_that_start_empty() -> None:
    one, other = filled(1, 2), filled(2, 5)
    gathered = gather([Pick(None, 0, 0), Pick(other, 1, 4), Pick(one, 0, 2)], 1)
    keys = gathered.layers[0].keys[:, 0, :4, 0]
    assert keys[1].tolist() == [100, 101, 102, 103]
    assert keys[2, :2].tolist() == [0, 1]
    assert gathered.owned.sum(axis=1).tolist() == [0, 4, 2]


def test_a_copy_leaves_its_source_alone() -> None:
    cache = filled(1, 2)
    gathered = gather([Pick(cache, 0, 2)], 1)
    gathered.layers[0].keys.zero_()
    assert cache.layers[0].keys[0, 0, :2, 0].tolist() == [0, 1]


@given(held=st.lists(tokens, min_size=0, max_size=8), asked=tokens)
def test_memory_finds_the_longest_common_beginning(held: list[tuple[int, ...]], asked: tuple[int, ...]) -> None:
    memory = PrefixMemory(10**6)
    for row in held:
        memory.remember(SlotCache(1), {7: row})
    best = max([sum(np.cumprod([a == b for a, b in zip(row, asked, strict=False)])) for row in held], default=0)
    found = memory.find(asked)
    assert found.kept == min(best, len(asked) - 1)
    assert found.kept == 0 or found.row == 7


def test_memory_drops_the_oldest_cache_when_it_is_full() -> None:
    first, second, third = filled(1, 4), filled(1, 4), filled(1, 4)
    memory = PrefixMemory(2 * first.nbytes)
    for number, cache in enumerate((first, second, third)):
        memory.remember(cache, {0: (number, 9, 9)})
    assert memory.nbytes == 2 * first.nbytes
    assert memory.find((0, 9, 9)).kept == 0
    assert memory.find((1, 9, 9)).cache is second
    memory.forget()
    assert memory.find((2, 9, 9)).kept == 0


def test_a_cache_larger_than_the_memory_is_not_kept() -> None:
    memory = PrefixMemory(1)
    memory.remember(filled(1, 4), {0: (1, 2)})
    assert memory.nbytes == 0
