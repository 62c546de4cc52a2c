"""Defines the cells and lines of the report's Markdown tables."""

from __future__ import annotations

from axpo.diagnostics.estimates import Estimate
from axpo_benchmarks.evidence.statistics import Paired


def line(*cells: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def signed_cell(found: Paired | None) -> str:
    """A difference with its sign and interval; empty where there is none."""
    if found is None:
        return ""
    interval = "" if found.low is None else f" ({found.low:+.3f} to {found.high:+.3f})"
    return f"{found.mean:+.3f}{interval}"


def mean_cell(found: Estimate | None) -> str:
    """The mean of shares with its interval; empty where there is none."""
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    # Student's interval does not know that they are shares.
    return f"{found.value:.3f} ({max(found.low, 0):.3f} to {min(found.high, 1):.3f})"
