"""Defines the curve of a row: what training went through, in windows of a few steps, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

WINDOW: Final = 5
"""Training steps per point."""
MEANS: Final = (
    "reward_mean",
    "tool_attempt_rate",
    "tool_pass1",
    "no_tool_pass1",
    "all_wrong_tool_subgroups",
    "all_wrong_after_resampling",
    "flipped_subgroups",
    "recovery_rate",
    "continuation_pass1",
    "dead_groups",
    "triggered_groups",
    "selected_prefixes",
    "well_formed_rate",
    "kl",
    "entropy",
)
"""Means over the steps of a window at which they are defined."""
TOTALS: Final = ("rollouts", "tokens", "trained_tokens", "seconds")
"""Spent since the beginning, at the end of a window."""


def curve_of(steps: Sequence[Mapping[str, Any]], cpu_seconds: Mapping[int, float]) -> dict[str, list[float | None]]:
    """Columns of equal length, a value per window; the last window may be shorter.

    Args:
        steps: the records of a run's steps, in order.
        cpu_seconds: the processor's time of each step, by its number.
    """
    windows = [steps[first : first + WINDOW] for first in range(0, len(steps), WINDOW)]
    columns: dict[str, list[float | None]] = {"step": [window[-1]["step"] for window in windows]}
    for name in MEANS:
        columns[name] = [_mean(window, name) for window in windows]
    for name in TOTALS:
        columns[f"total_{name}"] = [round(window[-1][f"total_{name}"], 1) for window in windows]
    spent, total = [], 0.0
    for window in windows:
        total += sum(cpu_seconds.get(record["step"], 0.0) for record in window)
        spent.append(round(total, 1))
    return {**columns, "total_cpu_seconds": list(spent)}


def _mean(window: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [record[name] for record in window if record.get(name) is not None]
    return round(fmean(values), 4) if values else None
