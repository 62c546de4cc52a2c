from __future__ import annotations

import pytest

from axpo.diagnostics._thresholds import threshold_problem


@pytest.mark.parametrize(
    ("rewards", "threshold", "problem"),
    [
        ((0.0, 1.0), 0.0, "a reward of 0 counts as a success, since success_threshold is 0"),
        ((0.0, 0.0), -0.5, "a reward of 0 counts as a success, since success_threshold is -0.5"),
        ((1.0, 0.0), 1.5, "a reward of 1 counts as wrong, since success_threshold is 1.5"),
    ],
)
def test_a_threshold_that_tells_no_right_from_wrong_is_doubted(rewards, threshold, problem):
    assert problem in threshold_problem(rewards, threshold)


@pytest.mark.parametrize(
    ("rewards", "threshold"),
    [((0.0, 1.0), 0.5), ((0.0, 1.0), 1.0), ((1.0, 1.0), 0.0), ((0.0, 0.0), 1.5), ((-1.0, 0.0, 1.0), 0.0), ((), 0.0)],
)
def test_a_threshold_that_may_be_meant_is_not(rewards, threshold):
    assert threshold_problem(rewards, threshold) is None
