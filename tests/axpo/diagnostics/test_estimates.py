from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo.diagnostics.estimates import Estimate, Z, estimate_mean, estimate_ratio, pass_at_k


def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample():
    for samples in range(1, 7):
        for correct, k in itertools.product(range(samples + 1), range(1, samples + 1)):
            outcomes = [True] * correct + [False] * (samples - correct)
            subsets = list(itertools.combinations(outcomes, k))
            assert pass_at_k(samples, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize(("samples", "correct", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)])
def test_pass_at_k_refuses_impossible_numbers(samples, correct, k):
    with pytest.raises(ValueError, match=f"samples={samples}, correct={correct}, k={k}"):
        pass_at_k(samples, correct, k)


def test_single_outcomes_get_the_wilson_interval():
    estimate = estimate_ratio([1] * 8 + [0] * 2, [1] * 10)
    assert estimate is not None
    # Wilson, 95 %: 8 of 10 is 0.490 to 0.943 (textbook); the clusters' (n - 1) widens n = 10 to n = 9.
    n, z, p = 9, 1.959964, 0.8
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    assert estimate.as_dict() == pytest.approx({"value": 0.8, "n": 10, "low": middle - half, "high": middle + half})


def test_the_ratio_is_of_sums_and_questions_without_a_whole_do_not_matter():
    estimate = estimate_ratio([1, 3, 0], [1, 9, 0])
    assert estimate is not None
    assert (estimate.value, estimate.n) == (0.4, 10)
    assert estimate == estimate_ratio([1, 3], [1, 9])


def test_nothing_counted_is_undefined():
    assert estimate_ratio([0, 0], [0, 0]) is None
    assert estimate_ratio([], []) is None


def test_samples_that_agree_within_questions_tell_less():
    alike = estimate_ratio([8, 0] * 20, [8] * 40)
    mixed = estimate_ratio([4, 5, 4, 3] * 10, [8] * 40)
    assert alike is not None
    assert mixed is not None
    assert alike.value == mixed.value == 0.5
    assert alike.high - alike.low > 0.28  # 40 questions, as if one sample each
    assert mixed.high - mixed.low < 0.12  # at most 320 independent samples


def test_unanimous_samples_still_have_an_interval():
    estimate = estimate_ratio([8] * 20, [8] * 20)
    assert estimate is not None
    assert estimate.high == 1.0
    assert estimate.low == pytest.approx(1 / (1 + 1.959964**2 / 20), abs=1e-6)  # Wilson with one sample per question


def test_values_that_are_no_shares_get_the_normal_interval():
    estimate = estimate_ratio([2.0, -1.0, 2.0], [1, 1, 1])
    assert estimate is not None
    half = 1.959964 * math.sqrt(3.0 / 3)  # sample variance 3 of three values
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1.0, 1 - half, 1 + half))
    single = estimate_ratio([2.0], [1])
    assert single is not None
    assert (single.low, single.high) == (None, None)


@given(st.lists(st.integers(0, 6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=20))
def test_shares_have_intervals_within_0_and_1_around_the_value(pairs):
    estimate = estimate_ratio([part for part, _ in pairs], [whole for _, whole in pairs])
    if estimate is not None:
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.low < estimate.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = random.Random(0)
    hits = 0
    for _ in range(400):
        skills = [rng.choice((0.1, 0.9)) for _ in range(40)]
        estimate = estimate_ratio([sum(rng.random() < skill for _ in range(8)) for skill in skills], [8] * 40)
        hits += estimate is not None and estimate.low <= 0.5 <= estimate.high
    assert 0.92 <= hits / 400 <= 0.98


def test_the_mean_of_counts_has_the_normal_interval() -> None:
    found = estimate_mean([1, 2, 3])
    assert (found.value, found.n) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2 - Z / math.sqrt(3), 2 + Z / math.sqrt(3)))
    assert estimate_mean([4]) == Estimate(value=4.0, n=1, low=None, high=None)
    assert estimate_mean([]) is None


def test_differences_that_happen_to_be_shares_keep_the_normal_interval() -> None:
    # Per question 1 of 2 and 0 of 2: the mean 1/4, deviations of 1/2 each, over 4 and corrected by 2 / 1.
    found = estimate_ratio([1, 0], [2, 2], signed=True)
    assert found.value == 0.25
    assert found.high - found.low == pytest.approx(2 * Z * math.sqrt(0.5 / 16 * 2))
