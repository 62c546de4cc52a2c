"""Tests of means over runs: values by hand, and quantiles of published tables."""

import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo.diagnostics.over_runs import over_runs, student_quantile


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (30, 2.042), (1000, 1.962)],
)
def test_quantiles_are_those_of_tables(degrees: int, quantile: float) -> None:
    assert student_quantile(degrees) == pytest.approx(quantile, abs=6e-4)


def test_means_and_intervals_are_those_made_by_hand() -> None:
    found = over_runs([1.0, 2.0, 3.0])
    assert found is not None
    half = 4.302653 / math.sqrt(3)
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert (found.low, found.high) == (pytest.approx(2 - half), pytest.approx(2 + half))


def test_one_run_has_no_spread_and_none_has_nothing() -> None:
    found = over_runs([0.5])
    assert found is not None
    assert (found.mean, found.sd, found.low, found.high) == (0.5, None, None, None)
    assert over_runs([]) is None


def test_equal_values_have_no_interval() -> None:
    found = over_runs([0.25, 0.25])
    assert found is not None
    assert (found.mean, found.sd, found.low, found.high, found.n) == (0.25, 0.0, None, None, 2)


@given(values=st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=8, unique=True))
def test_intervals_lie_around_their_means(values: list[float]) -> None:
    found = over_runs(values)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= fmean(values) + 1e-9
    assert found.high >= fmean(values) - 1e-9
