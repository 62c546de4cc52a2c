"""Defines which curves of runs are drawn over their steps, and through which points they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean
from typing import Final

from axpo.diagnostics.metric import Metric, Shown, Unit
from axpo.diagnostics.registry import metric_named, metrics
from axpo.records._jsonl import Record

WINDOW: Final = 5
"""Steps of the trailing mean that is drawn bold; single steps are drawn faint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one method's curves are made of."""

    label: str
    """Its name in legends."""
    role: str
    """Its colour: a key of `axpo.report._palette.LIGHT`."""
    runs: tuple[tuple[Record, ...], ...]
    """The step records of each of its runs (seeds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line of a chart, as it is drawn: all of these are as long as `steps`, None where nothing was counted."""

    steps: tuple[int, ...]
    """The steps that any of its runs has, ascending."""
    mean: tuple[float | None, ...]
    """Trailing mean (or sum), averaged over runs: bold."""
    low: tuple[float | None, ...] | None = None
    """The lowest of its runs; None for a single run."""
    high: tuple[float | None, ...] | None = None
    """The highest of its runs; None for a single run."""
    single: tuple[float | None, ...] | None = None
    """The values of single steps: faint; None where the bold curve shows them, for several runs, and for
    charts with two metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart."""

    title: str
    """What it shows."""
    caption: str
    """What a reader must know to read it."""
    metrics: tuple[str, ...]
    """The metrics drawn: the first solid, a second one dotted."""
    share: bool = True
    """Values lie between 0 and 1 and are labelled in per cent."""
    cumulative: bool = False
    """Values are summed over steps."""
    window: int = WINDOW
    """Steps of the trailing mean; 1 draws the values as they are."""


PANELS: Final = (
    Panel(title="Reward", caption=metric_named("reward_mean").meaning, metrics=("reward_mean",)),
    Panel(
        title="Tool-attempt rate",
        caption=metric_named("tool_attempt_rate").meaning,
        metrics=("tool_attempt_rate",),
    ),
    Panel(
        title="All-wrong tool subgroups",
        caption=metric_named("all_wrong_tool_subgroups").meaning,
        metrics=("all_wrong_tool_subgroups",),
    ),
    Panel(
        title="Success with and without the tool",
        caption="Share of the rollouts that call the tool (solid), and of those that do not (dotted), that succeed.",
        metrics=("tool_pass1", "no_tool_pass1"),
    ),
    Panel(
        title="Recovery rate",
        caption=metric_named("recovery_rate").meaning,
        metrics=("recovery_rate",),
    ),
    Panel(
        title="Selected prefixes",
        caption="Prefixes resampled in each step.",
        metrics=("selected_prefixes",),
        share=False,
    ),
    Panel(
        title="Tokens",
        caption="Sampled so far, in training.",
        metrics=("tokens",),
        share=False,
        cumulative=True,
    ),
    Panel(
        title="Seconds",
        caption="Spent on training steps so far.",
        metrics=("seconds_step",),
        share=False,
        cumulative=True,
    ),
)
"""The charts of how a run went, in reading order."""


OPTIMIZATION: Final = (
    Panel(
        title="Loss",
        caption="What is minimized, before each optimizer step: mean over mini-batches.",
        metrics=("loss",),
        share=False,
    ),
    Panel(
        title="KL to the reference",
        caption="Estimated at the trained tokens, in nats.",
        metrics=("kl",),
        share=False,
    ),
    Panel(
        title="Entropy",
        caption="Mean negative log-probability of the trained tokens, in nats: an estimate.",
        metrics=("entropy",),
        share=False,
    ),
    Panel(
        title="Gradient norm",
        caption="Before clipping: mean over mini-batches.",
        metrics=("grad_norm",),
        share=False,
    ),
    Panel(
        title="Clipped tokens",
        caption="Share of the trained tokens whose ratio fell below its bound with a negative advantage (solid), or "
        "rose above it with a positive one (dotted): they have no policy gradient.",
        metrics=("clip_low", "clip_high"),
        share=False,
    ),
    Panel(title="Learning rate", caption="Of each step.", metrics=("lr",), share=False, window=1),
)
"""The charts of what the optimizer did."""


def panels() -> tuple[Panel, ...]:
    """The charts of how a run went, and behind them those of further metrics that ask for one."""
    drawn = {name for panel in (*PANELS, *OPTIMIZATION) for name in panel.metrics}
    further = (metric for metric in metrics() if Shown.CHART in metric.shown and metric.name not in drawn)
    return (*PANELS, *map(_panel_of, further))


def _panel_of(metric: Metric) -> Panel:
    return Panel(title=metric.title, caption=metric.meaning, metrics=(metric.name,), share=metric.unit is Unit.SHARE)


def trailing_mean(values: Sequence[float | None], window: int = WINDOW) -> list[float | None]:
    """Mean of the defined values among the last `window`; None where there are none."""
    means: list[float | None] = []
    for end in range(1, len(values) + 1):
        defined = [value for value in values[max(0, end - window) : end] if value is not None]
        means.append(fmean(defined) if defined else None)
    return means


def has_data(panel: Panel, lines: Sequence[Line]) -> bool:
    """Whether any run has a defined value to draw; a count that is zero throughout says nothing."""
    records = (record for line in lines for run in line.runs for record in run)
    values = [record.get(metric) for record in records for metric in panel.metrics]
    return any(value is not None for value in values) if panel.share else any(values)


def drawn(line: Line, metric: str, panel: Panel) -> Curve:
    """The curve of a metric in a chart."""
    by_run = [_points(run, metric, panel) for run in line.runs]
    steps = sorted({step for points in by_run for step in points})
    found = [[value for points in by_run if (value := points.get(step)) is not None] for step in steps]
    several = len(line.runs) > 1
    single = not several and not panel.cumulative and len(panel.metrics) == 1 and panel.window > 1
    raw = {record["step"]: record.get(metric) for record in line.runs[0]} if single else {}
    return Curve(
        steps=tuple(steps),
        mean=tuple(fmean(values) if values else None for values in found),
        low=tuple(min(values, default=None) for values in found) if several else None,
        high=tuple(max(values, default=None) for values in found) if several else None,
        single=tuple(raw.get(step) for step in steps) if single else None,
    )


def _points(run: Sequence[Record], metric: str, panel: Panel) -> Mapping[int, float | None]:
    values = [record.get(metric) for record in run]
    if panel.cumulative:
        points: list[float | None] = list(accumulate(value or 0.0 for value in values))
    else:
        points = trailing_mean(values, panel.window)
    return dict(zip((record["step"] for record in run), points, strict=True))
