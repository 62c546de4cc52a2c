"""Defines `tool_collapse`, the alarm that a policy unlearns to act, and what it can say about whether acting paid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

COLLAPSE_WINDOW: Final = 5
"""Steps over which the rate of acting is smoothed."""
COMMON: Final = 0.25
"""All-wrong tool subgroups are common from this share on. In the paper's runs 40 % of them are, and 25 % of the no-tool
subgroups."""


class ToolCollapse(StrEnum):
    """What is known of the acting that a policy has unlearned."""

    ACTING_PAID = "acting paid"
    """On the questions that were tried both ways, acting succeeded at least as often as not acting."""
    ACTING_COULD_PAY = "acting could pay"
    """Whole subgroups of tool calls failed, resampled prefixes recovered more often than guessing succeeded, or
    questions are labelled as needing a tool: what is lost is what the policy could have learned."""
    ACTING_DID_NOT_PAY = "acting did not pay"
    """None of these: the policy may be right to stop."""


def tool_collapse(history: Sequence[Mapping[str, Any]], *, window: int = COLLAPSE_WINDOW) -> ToolCollapse | None:
    """The alarm of algorithm.md: the smoothed `tool_attempt_rate` fell below half of its peak.

    It always fires then; what happened since the peak says which kind of collapse it is.

    Args:
        history: the records of the steps (`metrics.step_metrics`), oldest first; steps without a rate are skipped.
        window: steps of the trailing mean that smooths the rate; shorter histories raise no alarm.

    Returns:
        The kind, or None where the rate has not halved.
    """
    steps = [record for record in history if record.get("tool_attempt_rate") is not None]
    rates = [float(record["tool_attempt_rate"]) for record in steps]
    smoothed = [math.fsum(rates[end - window : end]) / window for end in range(window, len(rates) + 1)]
    if not smoothed or smoothed[-1] >= max(smoothed) / 2:
        return None
    since = steps[smoothed.index(max(smoothed)) + window - 1 :]
    acting = _mean(since, "paired_tool_pass1", weight="paired_questions")
    guessing = _mean(since, "paired_no_tool_pass1", weight="paired_questions")
    if acting is not None and guessing is not None and acting >= guessing:
        return ToolCollapse.ACTING_PAID
    return ToolCollapse.ACTING_COULD_PAY if _could_pay(since) else ToolCollapse.ACTING_DID_NOT_PAY


def _could_pay(since: Sequence[Mapping[str, Any]]) -> bool:
    all_wrong = _mean(since, "all_wrong_tool_subgroups")
    recovery = _mean(since, "recovery_rate", weight="selected_prefixes")
    guessing = _mean(since, "no_tool_pass1")
    return (
        (all_wrong is not None and all_wrong >= COMMON)
        or (recovery is not None and recovery > (guessing or 0.0))
        or any(record.get("failed_to_act") is not None for record in since)
    )


def _mean(records: Iterable[Mapping[str, Any]], name: str, *, weight: str | None = None) -> float | None:
    """The mean of a metric where it is defined, every step weighted by another metric or equally."""
    defined = [record for record in records if record.get(name) is not None]
    weights = [1.0 if weight is None else float(record.get(weight) or 0.0) for record in defined]
    whole = math.fsum(weights)
    if whole == 0:
        return None
    return math.fsum(share * float(record[name]) for share, record in zip(weights, defined, strict=True)) / whole
