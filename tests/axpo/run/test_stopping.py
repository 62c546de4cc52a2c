from __future__ import annotations

from typing import Any

from axpo.run._stopping import best_step, is_exhausted


def evaluations(*values: float | None) -> list[dict[str, Any]]:
    return [{"step": 10 * place, "metrics": {"pass1": {"value": value}}} for place, value in enumerate(values)]


def test_the_best_is_the_earliest_of_the_highest_and_not_the_start():
    assert best_step(evaluations(0.9, 0.4, 0.6, 0.6, 0.5), "pass1") == 20
    assert best_step(evaluations(0.9), "pass1") is None
    assert best_step(evaluations(0.9, None, 0.1), "pass1") == 20
    assert best_step(evaluations(0.9, 0.1), "unknown") is None


def test_patience_counts_evaluations_after_the_best():
    assert not is_exhausted(evaluations(0.9, 0.4, 0.6, 0.6), "pass1", patience=2)
    assert is_exhausted(evaluations(0.9, 0.4, 0.6, 0.6, 0.5), "pass1", patience=2)
    assert is_exhausted(evaluations(0.9, 0.4, 0.6, 0.6, None), "pass1", patience=2)
    assert not is_exhausted(evaluations(0.9), "pass1", patience=1)
