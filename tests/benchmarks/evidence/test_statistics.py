from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_benchmarks.evidence.statistics import over_questions, over_seeds, paired, sign_flip


def test_an_interval_over_three_seeds_is_student_s() -> None:
    found = over_seeds([1.0, 2.0, 3.0])
    assert found is not None
    # 2 +- 4.303 x sqrt(1 / 3).
    assert (found.value, found.low, found.high) == (
        2.0,
        pytest.approx(-0.4843, abs=1e-3),
        pytest.approx(4.4843, abs=1e-3),
    )
    alone = over_seeds([0.5])
    assert alone is not None
    assert alone.low is None
    assert over_seeds([]) is None


def test_signs_are_flipped_in_every_way() -> None:
    # Of the sums of +-3 +-1, |4| and |2|: two patterns of four reach 4, all four reach 2.
    assert sign_flip([3.0, 1.0]) == 0.5
    assert sign_flip([3.0, -1.0]) == 1.0
    # Five of one sign: the floor, above 0.06. Eight: below 0.01.
    assert sign_flip([0.1, 0.2, 0.3, 0.4, 0.5]) == 2 / 32
    assert sign_flip([1.0] * 8) == 2 / 256
    # 2 of 131,072 patterns, of which not all are tried.
    assert 0 < sign_flip([1.0] * 17) < 1e-4


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8))
def test_a_p_value_lies_between_its_floor_and_one_and_knows_no_sign(differences: list[float]) -> None:
    found = paired(differences)
    assert found is not None
    assert found.floor <= found.p <= 1
    assert sign_flip([-d for d in differences]) == found.p


def test_pairs_tell_mean_interval_effect_and_verdict() -> None:
    found = paired([0.1, 0.2, 0.3])
    assert found is not None
    # A standard deviation of 0.1; 0.2 +- 4.303 x 0.1 / sqrt(3) holds zero.
    assert (found.mean, found.effect, found.verdict) == (pytest.approx(0.2), pytest.approx(2.0), "open")
    assert [getattr(paired(each), "verdict", None) for each in ([0.2, 0.21, 0.2], [-0.2, -0.21], [0.3], [])] == [
        "more",
        "less",
        "open",
        None,
    ]
    assert getattr(paired([0.5, 0.5]), "effect", 0) is None


def test_questions_are_averaged_over_seeds_first() -> None:
    # Of 4 rollouts: seed 0 differs by 2 and 0, seed 1 by 0 and 2; both questions by (2 + 0) / 2 / 4.
    found = over_questions(["42", "13"], ["22", "11"], samples=4)
    assert found is not None
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)
    assert over_questions(["42"], ["2"], samples=4) is None
    assert over_questions([], [], samples=4) is None
