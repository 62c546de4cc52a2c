"""Defines what a run's page shows of environments, tools and numbers of needed calls: tables and charts over steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

from axpo.diagnostics.metric import Unit
from axpo.diagnostics.permission import shown_of_parts
from axpo.diagnostics.registry import metric_named
from axpo.records._jsonl import Record
from axpo.report._live_charts import ROLES, Curve, LiveChart, Topic, live_chart
from axpo.report._page import Row, Table
from axpo.report._panels import WINDOW, trailing_mean
from axpo.report._values import Value, told

_MOST_ROWS: Final = 50
_UNDEFINED: Final = "-"
_KINDS: Final = {
    "by_environment": ("environment", ("pass1", "tool_attempt_rate", "tool_pass1", "no_tool_pass1")),
    "by_tool": ("tool", ("tool_attempt_rate", "tool_call_valid_rate", "tool_success_rate", "tool_pass1")),
    "by_hops": ("calls needed", ("pass1", "tool_attempt_rate", "tool_pass1", "premature_stop")),
}
"""What records tell apart: what it is called, and what is shown of each part in tables."""
_CURVES: Final = ("tool_attempt_rate", "tool_pass1")
"""What is drawn of each part, and where questions demand something of acting, how it was kept to."""


def part_tables(evaluation: Record | None) -> tuple[Table, ...]:
    """What the last evaluation measured of each part, where there are several."""
    return tuple(_tables(evaluation or {}))


def part_charts(steps: Sequence[Record]) -> tuple[LiveChart, ...]:
    """The parts of a run's steps side by side, where there are several."""
    return tuple(_charts(steps))


def _tables(evaluation: Mapping[str, Any]) -> Iterator[Table]:
    for kind, (called, usual) in _KINDS.items():
        found = evaluation.get(kind, {})
        if len(found) > 1:
            names = (*usual, *shown_of_parts(partial(_is_observed, found)))
            yield Table(
                title=f"By {called}",
                note=f"From the evaluation at step {evaluation['step']}; 95 % intervals over questions.",
                columns=tuple(metric_named(name).title for name in names),
                rows=tuple(
                    Row(label=part, role=ROLES[number % len(ROLES)], cells=tuple(_cell(each, name) for name in names))
                    for number, (part, each) in enumerate(islice(found.items(), _MOST_ROWS))
                ),
            )


def _is_observed(parts: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return any(_cell(metrics, name) != _UNDEFINED for metrics in parts.values())


def _cell(metrics: Mapping[str, Any], name: str) -> str:
    found = metrics.get(name)
    if found is None or found["value"] is None:
        return _UNDEFINED
    value = Value(value=found["value"], low=found["low"], high=found["high"], n=None)
    return told(value, share=metric_named(name).unit is Unit.SHARE)


def _charts(steps: Sequence[Record]) -> Iterator[LiveChart]:
    names = {name for record in steps for name in record}
    bounds = shown_of_parts(lambda name: any(record.get(name) is not None for record in steps))
    for kind, (called, _) in _KINDS.items():
        for metric in (*_CURVES, *bounds):
            start, end = f"{kind}/", f"/{metric}"
            parts = sorted(
                name[len(start) : -len(end)] for name in names if name.startswith(start) and name.endswith(end)
            )
            if len(parts) > 1:
                chart = live_chart(
                    Topic(
                        title=f"{metric_named(metric).title}, by {called}",
                        caption=f"{metric_named(metric).meaning} Trailing mean over {WINDOW} steps.",
                        axis="step",
                        places=tuple(str(record["step"]) for record in steps),
                        positions=tuple(float(record["step"]) for record in steps),
                    ),
                    [_curve(steps, part, f"{start}{part}{end}") for part in parts[: len(ROLES)]],
                )
                yield from () if chart is None else (chart,)


def _curve(steps: Sequence[Record], part: str, name: str) -> Curve:
    means = trailing_mean([record.get(name) for record in steps])
    values = (None if mean is None else Value(value=mean, low=None, high=None, n=None) for mean in means)
    return Curve(label=part, values=tuple(values))
