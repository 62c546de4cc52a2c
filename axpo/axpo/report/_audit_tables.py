"""Defines the tables of an audit's page: metrics, tools and what became of their calls, environments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from axpo.audit.audit import Findings
from axpo.audit.exhibits import clipped
from axpo.audit.tally import Estimates
from axpo.audit.tool_tally import OUTCOMES
from axpo.diagnostics.estimates import Estimate
from axpo.diagnostics.metric import Unit
from axpo.diagnostics.permission import shown_of_parts
from axpo.diagnostics.registry import metric_named
from axpo.report._values import Value, told, value_of

HEADLINES: Final = ("tool_attempt_rate", "pass1", "tool_pass1", "no_tool_pass1", "no_signal_at_calls")
"""What is shown of each environment."""
MOST_TOOLS: Final = 20
"""Tools that are shown."""
MOST_PARTS: Final = 50
"""Environments that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """A metric of the page's table."""

    label: str
    """Its name for people."""
    name: str
    """Its name in files and conditions."""
    meaning: str
    """What it says."""
    value: Value | None
    """What was measured; None where nothing was observed."""
    text: str
    """The value as text."""
    interval: str
    """Its 95 % interval as text."""
    n: str
    """What was counted, as text."""
    share: bool
    """Whether it lies between 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRow:
    """A tool, and what became of its calls."""

    name: str
    """As policies wrote it."""
    calls: int
    """How often it was called."""
    rollouts: int
    """Rollouts that called it."""
    outcomes: Mapping[str, int]
    """How many of the calls ended how."""
    attempts: Value | None
    """The share of all rollouts that call it; None where it was not measured."""
    pass1: Value | None
    """The share of these rollouts that is right; None where nothing was scored."""
    bounds: tuple[Value | None, ...]
    """How what questions demand of it was kept to, in the order of the table's; None where nothing was observed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """A part of the rollouts."""

    name: str
    """What it is called."""
    values: tuple[Value | None, ...]
    """Its headline metrics, in the order of the table's; None where nothing was observed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTable:
    """The tools."""

    bounds: tuple[str, ...]
    """Labels of the metrics of what questions demand that are shown; empty where they demand nothing."""
    rows: tuple[ToolRow, ...]
    """The tools most often called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTable:
    """Parts side by side."""

    headlines: tuple[str, ...]
    """Labels of the metrics that are shown."""
    rows: tuple[PartRow, ...]
    """The parts; empty where there are not several."""


def metric_rows(findings: Findings) -> tuple[MetricRow, ...]:
    """The metrics, of optional ones those that were observed."""
    return tuple(
        _metric_row(name, found)
        for name, found in findings.metrics.items()
        if found is not None or not metric_named(name).optional
    )


def _metric_row(name: str, found: Estimate | None) -> MetricRow:
    metric = metric_named(name)
    share = metric.unit is Unit.SHARE
    value = value_of(found)
    text, _, n = told(value, share=share).partition(", n ")
    number, _, interval = text.partition(" (")
    return MetricRow(
        label=metric.label,
        name=name,
        meaning=metric.meaning,
        value=value,
        text=number,
        interval=interval.rstrip(")"),
        n=n or "0",
        share=share,
    )


def tool_table(findings: Findings) -> ToolTable:
    """The tools, with what questions demand of them where they do."""
    bounds = shown_of_parts(partial(_is_observed, [each.metrics for each in findings.by_tool.values()]))
    return ToolTable(
        bounds=tuple(metric_named(name).label for name in bounds),
        rows=tuple(_tool_row(name, findings, bounds) for name in islice(findings.by_tool, MOST_TOOLS)),
    )


def environment_table(findings: Findings) -> PartTable:
    """The environments; no rows where there is but one."""
    found = findings.by_environment
    names = (*HEADLINES, *shown_of_parts(partial(_is_observed, list(found.values()))))
    shown = islice(found.items(), MOST_PARTS) if len(found) > 1 else ()
    return PartTable(
        headlines=tuple(metric_named(name).title for name in names),
        rows=tuple(
            PartRow(name=clipped(part, 80), values=tuple(value_of(metrics[name]) for name in names))
            for part, metrics in shown
        ),
    )


def _is_observed(parts: Iterable[Estimates], name: str) -> bool:
    return any(metrics[name] is not None for metrics in parts)


def _tool_row(name: str, findings: Findings, bounds: Iterable[str]) -> ToolRow:
    found = findings.by_tool[name]
    outcomes = findings.call_outcomes[name]
    return ToolRow(
        name=clipped(name, 80),
        calls=found.calls,
        rollouts=found.rollouts,
        outcomes={kind: outcomes[kind] for kind in OUTCOMES},
        attempts=value_of(found.metrics["tool_attempt_rate"]),
        pass1=value_of(found.metrics["tool_pass1"]),
        bounds=tuple(value_of(found.metrics[bound]) for bound in bounds),
    )
