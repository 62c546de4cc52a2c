"""Defines `step_chart`: a panel's curves over the steps of runs, as a chart whose points tell their values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from axpo.diagnostics.registry import metric_named
from axpo.report._live_charts import Curve, LiveChart, Topic, live_chart
from axpo.report._panels import Curve as Means
from axpo.report._panels import Line, Panel, drawn
from axpo.report._values import Value


def step_chart(panel: Panel, lines: Sequence[Line]) -> LiveChart | None:
    """Bold the mean over runs, faint or as a band what lies behind it; None where no curve has a value."""
    found = [(line, metric, drawn(line, metric, panel)) for line in lines for metric in panel.metrics]
    steps = sorted({step for _, _, means in found for step in means.steps})
    values = [
        value
        for _, _, means in found
        for part in (means.mean, means.single, means.low, means.high)
        for value in part or ()
        if value is not None
    ]
    topic = Topic(
        title=panel.title,
        caption=panel.caption,
        axis="step",
        places=tuple(map(str, steps)),
        positions=tuple(map(float, steps)),
        # Rewards may lie anywhere; only what is a share has a fixed scale.
        share=panel.share and all(0 <= value <= 1 for value in values),
    )
    return live_chart(topic, [_curve(panel, line, metric, means, steps) for line, metric, means in found])


def _curve(panel: Panel, line: Line, metric: str, means: Means, steps: Sequence[int]) -> Curve:
    values = dict(zip(means.steps, _values(means), strict=True))
    faint = dict(zip(means.steps, means.single or (None,) * len(means.steps), strict=True))
    label = line.label if len(panel.metrics) == 1 else f"{line.label}, {metric_named(metric).label}"
    return Curve(
        label=label,
        role=line.role,
        values=tuple(values.get(step) for step in steps),
        faint=tuple(faint.get(step) for step in steps) if means.single is not None else (),
        dotted=metric != panel.metrics[0],
    )


def _values(means: Means) -> Iterator[Value | None]:
    nothing = (None,) * len(means.steps)
    for value, low, high in zip(means.mean, means.low or nothing, means.high or nothing, strict=True):
        yield None if value is None else Value(value=value, low=low, high=high, n=None)
