"""Defines which evaluation of a run was its best, and when waiting for a better one has been long enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def best_step(evaluations: Sequence[Mapping[str, Any]], metric: str) -> int | None:
    """The step with the highest value of a metric, the earliest of several; None where none has a value.

    The evaluation before the first step does not count: nothing was trained by then.

    Args:
        evaluations: the records of a run's evaluations, oldest first.
        metric: its name.
    """
    scored = [(value, -record["step"]) for record in evaluations if (value := _value(record, metric)) is not None]
    return -max(scored)[1] if scored else None


def is_exhausted(evaluations: Sequence[Mapping[str, Any]], metric: str, *, patience: int) -> bool:
    """Whether that many evaluations in a row, the newest included, were no better than the best before them."""
    best = best_step(evaluations, metric)
    since = [record for record in evaluations if best is not None and record["step"] > best]
    return len(since) >= patience


def _value(record: Mapping[str, Any], metric: str) -> float | None:
    value: float | None = record["metrics"].get(metric, {}).get("value")
    return value if record["step"] > 0 else None
