from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo.algorithm.batching import MiniBatch, TrainItem
from axpo.distributed.division import shares, stretch
from axpo_agents.passes import Pass, plan_rows
from axpo_agents.types import TokenSequence


def item(length: int) -> TrainItem:
    sampled = (False,) + (True,) * (length - 1)
    sequence = TokenSequence(ids=(7,) * length, sampled=sampled, logprobs=(0.0,) * length, images=())
    return TrainItem(sequence=sequence, trained=sampled[1:], advantage=1.0, weight=1 / length)


def minibatch(lengths: Sequence[int]) -> MiniBatch:
    total = sum(lengths)
    items = tuple(map(item, lengths))
    return MiniBatch(micro_batches=(items,), trained_tokens=total, scored_tokens=total, sequence_tokens=total)


def test_neighbours_stay_together_and_nothing_is_lost_or_done_twice():
    assert [stretch(5, number=n, count=2) for n in range(2)] == [slice(0, 2), slice(2, 5)]
    assert [list(range(7))[stretch(7, number=n, count=3)] for n in range(3)] == [[0, 1], [2, 3], [4, 5, 6]]


@given(st.lists(st.integers(2, 40), min_size=1, max_size=12), st.integers(1, 5))
def test_every_item_is_trained_once_and_keeps_its_weight(lengths: list[int], count: int):
    whole = minibatch(lengths)
    divided = shares(whole, plan_rows, count=count, tokens=64)
    assert len(divided) == count
    found = [one for passes, _ in divided for items in passes for one in items]
    assert sorted(map(id, found)) == sorted(map(id, whole.micro_batches[0]))
    for passes, tokens in divided:
        assert tokens == sum(len(one.sequence.ids) for items in passes for one in items)
        assert all(items for items in passes)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=12), st.integers(1, 5))
def test_no_process_has_more_than_a_fair_share_and_one_sequence(lengths: list[int], count: int):
    loads = [tokens for _, tokens in shares(minibatch(lengths), plan_rows, count=count, tokens=1000)]
    assert max(loads) <= sum(lengths) / count + max(lengths)


def test_a_process_without_work_has_no_passes():
    assert [len(passes) for passes, _ in shares(minibatch([5]), plan_rows, count=3, tokens=64)] == [1, 0, 0]


def trees_of_four(sequences: Sequence[TokenSequence], *, tokens: int) -> tuple[Pass, ...]:
    """Every four sequences of length 10 share 9 tokens."""
    size = 4 if tokens >= 13 else 1
    groups = [tuple(range(start, min(start + size, len(sequences)))) for start in range(0, len(sequences), size)]
    return tuple(Pass(members=group, tokens=9 + len(group)) for group in groups)


@pytest.mark.parametrize(("count", "whole"), [(2, True), (8, False)])
def test_trees_are_taken_apart_only_where_that_balances(count: int, whole: bool):
    items = tuple(item(10) for _ in range(8))
    batch = MiniBatch(micro_batches=(items,), trained_tokens=72, scored_tokens=26, sequence_tokens=80)
    divided = shares(batch, trees_of_four, count=count, tokens=100)
    assert [tokens for _, tokens in divided] == ([13, 13] if whole else [10] * 8)
