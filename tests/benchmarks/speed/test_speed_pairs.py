from __future__ import annotations

import pytest

from axpo_benchmarks.speed.pairs import Pairs, measure_pairs


def test_two_ways_are_called_in_turns_each_after_its_preparation() -> None:
    calls: list[str] = []
    pairs = measure_pairs(
        lambda: calls.append("first"),
        lambda: calls.append("second"),
        repeats=2,
        prepare=lambda: calls.append("prepare"),
    )
    assert calls == ["prepare", "first", "prepare", "second"] * 3
    assert len(pairs.first) == len(pairs.second) == 2
    assert min(pairs.first + pairs.second) >= 0.0


def test_their_ratio_is_that_of_medians() -> None:
    row = Pairs(first=(6.0, 2.0, 100.0), second=(1.0, 2.0, 3.0)).ratio("slow / fast", 2.5)
    assert (row.name, row.ratio, row.target) == ("slow / fast", pytest.approx(3.0), 2.5)
