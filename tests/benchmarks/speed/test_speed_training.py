"""Tests of the measurement of training passes: what it compares is what it says, at sizes that take no time."""

from __future__ import annotations

import torch

from axpo_benchmarks.speed.rows import Absolute, Ratio
from axpo_benchmarks.speed.training import Shape, make_group, measure, peak_bytes

torch.set_num_threads(1)


def test_a_group_shares_its_prompt_and_continuations_half_a_response() -> None:
    sequences = make_group(Shape(prompt=20, response=10, branched=True))
    assert len(sequences) == 8 + 2 * 4
    assert {sequence.ids[:20] for sequence in sequences} == {sequences[0].ids[:20]}
    assert len({sequence.ids[20] for sequence in sequences[:8]}) == 8
    assert all(sequence.ids[:25] == sequences[0].ids[:25] for sequence in sequences[8:12])
    assert len({sequence.ids[25] for sequence in (sequences[0], *sequences[8:12])}) == 5


def test_peak_memory_is_what_is_held_at_once() -> None:
    def two_at_a_time() -> None:
        kept = torch.ones(2**18)
        for _ in range(5):
            kept = kept + 1

    assert 2 * 2**20 <= peak_bytes(two_at_a_time) < 3.2 * 2**20


def test_rows_of_a_small_group() -> None:
    rho, time, memory = measure((Shape(prompt=40, response=10, branched=False),), repeats=1)
    assert isinstance(rho, Absolute)
    assert isinstance(time, Ratio)
    assert isinstance(memory, Ratio)
    # Rows read 8 x 49 tokens, the tree 40 and 8 x 9.
    assert rho.value == 8 * 49 / (40 + 8 * 9)
    assert time.target == 0.9 * rho.value
    assert memory.target == 0.8 * rho.value
    assert min(time.ratio, memory.ratio) > 0
