"""Defines the parts that pages of runs and of comparisons share: bars, table rows, charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from axpo.algorithm.methods import label_of
from axpo.diagnostics.metric import Better, Metric, Shown
from axpo.diagnostics.registry import measures_of
from axpo.records.outcomes import COSTS, Comparison, Outcome
from axpo.report._live_charts import LiveChart
from axpo.report._page import Bar, Row, Tile, compact, percent
from axpo.report._palette import roles
from axpo.report._panels import WINDOW, Line, Panel, has_data, panels
from axpo.report._step_charts import step_chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Something with an outcome: the start, the end, a method."""

    label: str
    """What people read."""
    role: str
    """Its colour."""
    outcome: Outcome
    """What it achieved and cost."""
    intervals: Mapping[str, tuple[float, float]]
    """Intervals of its measures; empty where there are none."""
    spread: Mapping[str, float | None] = field(default_factory=dict)
    """Standard deviations over seeds, where there are several."""


def measured_methods(comparison: Comparison) -> tuple[Measured, ...]:
    """The start, if it was evaluated, and every method of a comparison."""
    names = [entry.name for entry in comparison.entries]
    methods = tuple(
        Measured(
            label=label_of(entry.name),
            role=role,
            outcome=entry.mean,
            intervals=entry.runs[0].intervals if len(entry.runs) == 1 else {},
            spread=entry.spread,
        )
        for entry, role in zip(comparison.entries, roles(names), strict=True)
    )
    if comparison.start is None:
        return methods
    start = comparison.start
    return (Measured(label="Start", role="start", outcome=start.outcome, intervals=start.intervals), *methods)


def columns(measured: Sequence[Measured]) -> tuple[str, ...]:
    """Headings of the headline table."""
    return (*(metric.title for metric in _headlines(measured)), *map(str.capitalize, COSTS))


def tiles(measured: Sequence[Measured]) -> tuple[Tile, ...]:
    """The headline measures as bars."""
    return tuple(
        Tile(title=metric.title, note=_note(metric), bars=tuple(_bar(item, metric.name) for item in measured))
        for metric in _headlines(measured)
    )


def rows(measured: Sequence[Measured]) -> tuple[Row, ...]:
    """The headline table."""
    return tuple(
        Row(
            label=item.label,
            role=item.role,
            cells=(
                *(_share(item, metric.name) for metric in _headlines(measured)),
                *(compact(getattr(item.outcome, name)) for name in COSTS),
            ),
        )
        for item in measured
    )


def charts(lines: Sequence[Line], of: Sequence[Panel] | None = None) -> tuple[LiveChart, ...]:
    """The charts that have anything to show, of some panels; None are those of how a run went."""
    found = (step_chart(panel, lines) for panel in (panels() if of is None else of) if has_data(panel, lines))
    return tuple(chart for chart in found if chart is not None)


def charts_note(seeds: int) -> str:
    """How the curves are drawn."""
    mean = f"Bold: trailing mean over {WINDOW} steps"
    curves = (
        f"{mean}, averaged over {seeds} seeds; the band spans the seeds."
        if seeds > 1
        else f"{mean}. Faint: single steps."
    )
    return f"{curves} Point at a curve, or tap it, for its value; the boxes hide curves, and enlarge a chart."


def _headlines(measured: Sequence[Measured]) -> tuple[Metric, ...]:
    def is_observed(name: str) -> bool:
        return any(item.outcome.measures.get(name) is not None for item in measured)

    return measures_of(Shown.TILE, is_observed)


def _note(metric: Metric) -> str:
    if metric.better is Better.LOWER:
        return f"{metric.meaning} Lower is better."
    return metric.meaning


def _bar(item: Measured, name: str) -> Bar:
    low, high = item.intervals.get(name, (None, None))
    return Bar(label=item.label, role=item.role, value=item.outcome.measures.get(name), low=low, high=high)


def _share(item: Measured, name: str) -> str:
    spread = item.spread.get(name)
    return percent(item.outcome.measures.get(name)) + ("" if spread is None else f" ± {100 * spread:.1f}")
