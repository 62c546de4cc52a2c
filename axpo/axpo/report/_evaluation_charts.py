"""Defines the charts of evaluations over a run's steps: headline measures with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Final

from axpo.diagnostics.metric import Metric, Shown, Unit
from axpo.diagnostics.registry import metrics
from axpo.records._jsonl import Record
from axpo.report._live_charts import Curve, LiveChart, Topic, live_chart
from axpo.report._panels import Line
from axpo.report._values import Value

_FEW: Final = 2
"""A start and an end are no curve."""


def evaluation_charts(lines: Sequence[Line]) -> tuple[LiveChart, ...]:
    """A chart of each headline measure, with a curve of each method; none where there are at most two evaluations.

    Args:
        lines: the methods; of each of their runs, the evaluation records.
    """
    steps = sorted({record["step"] for line in lines for run in line.runs for record in run})
    if len(steps) <= _FEW:
        return ()
    charts = (_chart(metric, lines, steps) for metric in metrics() if Shown.TILE in metric.shown)
    return tuple(chart for chart in charts if chart is not None)


def evaluations_note(seeds: int) -> str:
    """How the curves are drawn."""
    curves = "Means over seeds; bands span the seeds." if seeds > 1 else "Bands are 95 % intervals over questions."
    return f"{curves} Point at a place of a curve, or tap it, for its value; the boxes hide curves."


def _chart(metric: Metric, lines: Sequence[Line], steps: Sequence[int]) -> LiveChart | None:
    topic = Topic(
        title=metric.title,
        caption=metric.meaning,
        axis="step",
        places=tuple(map(str, steps)),
        positions=tuple(map(float, steps)),
        share=metric.unit is Unit.SHARE,
    )
    return live_chart(
        topic,
        [
            Curve(label=line.label, role=line.role, values=tuple(_value(line, metric.name, step) for step in steps))
            for line in lines
        ],
    )


def _value(line: Line, name: str, step: int) -> Value | None:
    found = [each for run in line.runs if (each := _measured(run, name, step)) is not None]
    if not found:
        return None
    if len(line.runs) == 1:
        (each,) = found
        return Value(value=each["value"], low=each.get("low"), high=each.get("high"), n=each.get("n"))
    values = [each["value"] for each in found]
    return Value(value=fmean(values), low=min(values), high=max(values), n=None)


def _measured(run: Sequence[Record], name: str, step: int) -> Record | None:
    """What the last evaluation at a step says of a measure; None where nothing was counted."""
    record = next((record for record in reversed(run) if record["step"] == step), None)
    measured: Record | None = None if record is None else record["metrics"].get(name)
    return None if measured is None or measured.get("value") is None else measured
