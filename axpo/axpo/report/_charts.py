"""Defines the curves of runs over their steps: which are drawn, and how, as inline SVG or as a picture file."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from axpo.diagnostics.metric import Metric, Shown, Unit
from axpo.diagnostics.registry import metric_named, metrics
from axpo.records import _atomic as atomic
from axpo.records._jsonl import Record
from axpo_envs.plumbing.whole_files import write_whole

WINDOW: Final = 5
"""Steps of the trailing mean that is drawn bold; single steps are drawn faint."""


LIGHT: Final[Mapping[str, str]] = {
    "ink": "#1f2430",
    "line": "#d5d9e2",
    "start": "#7d8597",
    "grpo": "#c2570c",
    "axpo": "#1767c9",
    "extra1": "#0d7a5f",
    "extra2": "#8a3ffc",
    "extra3": "#a8326e",
    "extra4": "#7a6a00",
}
"""Colours by role on a light ground; also the names of the CSS variables that charts within a page refer to."""

DARK: Final[Mapping[str, str]] = {
    "ink": "#e6e9f0",
    "line": "#333a4a",
    "start": "#98a1b5",
    "grpo": "#f59a52",
    "axpo": "#6cb0ff",
    "extra1": "#4fd1ae",
    "extra2": "#b899ff",
    "extra3": "#f08fc0",
    "extra4": "#d8c655",
}
"""The same roles on a dark ground."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one method's curves are made of."""

    label: str
    """Its name in legends."""
    role: str
    """Its colour: a key of `LIGHT`."""
    runs: tuple[tuple[Record, ...], ...]
    """The step records of each of its runs (seeds)."""


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
"""The charts of a report, in reading order."""


def panels() -> tuple[Panel, ...]:
    """The charts of a report, and behind them those of further metrics that ask for one."""
    drawn = {name for panel in PANELS for name in panel.metrics}
    further = (metric for metric in metrics() if Shown.CHART in metric.shown and metric.name not in drawn)
    return (*PANELS, *map(_panel_of, further))


def _panel_of(metric: Metric) -> Panel:
    return Panel(title=metric.title, caption=metric.meaning, metrics=(metric.name,), share=metric.unit is Unit.SHARE)


HEADLINE_PANELS: Final = tuple(panel for panel in PANELS if panel.title in {"Reward", "Tool-attempt rate"})
"""The charts of the picture in README."""


def inline_svg(panel: Panel, lines: Sequence[Line]) -> str:
    """A chart as an SVG element for an HTML page whose CSS defines the roles of `LIGHT` as variables."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": panel.title}):
        figure = Figure(figsize=(4.6, 2.5), layout="constrained", facecolor="none")
        _draw(figure.add_subplot(), panel, lines)
        svg = svg_of(figure)
    for role, colour in LIGHT.items():
        svg = svg.replace(colour, f"var(--{role})")
    # What a page with several charts must not get from each of them: a global style, equal ids, a font, a fixed size.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r' id="[\w.]*_\d+"| width="[\d.]+pt"| height="[\d.]+pt"|font-family: [^;"]*;?', "", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(panel.title)}" ', 1)


def write_picture(lines: Sequence[Line], path: Path, *, panels: Sequence[Panel] = HEADLINE_PANELS) -> None:
    """Writes charts side by side on white with one legend, as SVG or PNG by the path's suffix.

    Raises:
        ValueError: the suffix is neither.
        OSError: the file cannot be written.
    """
    if path.suffix not in (".svg", ".png"):
        raise ValueError(f"a picture is a .svg or .png file; got {path}")
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "axpo"}):
        figure = Figure(figsize=(4.6 * len(panels), 3.2), layout="constrained", facecolor="white")
        for place, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), place)
            axes.set_title(panel.title, fontsize=11, color=LIGHT["ink"], loc="left")
            _draw(axes, panel, lines)
        handles = [Line2D([], [], color=LIGHT[line.role], linewidth=2.2, label=line.label) for line in lines]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(lines), frameon=False)
        if path.suffix == ".svg":
            atomic.write_text(path, svg_of(figure))
        else:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=200)
            write_whole(path, buffer.getvalue())


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


def _draw(axes: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    for line in lines:
        for metric, style in zip(panel.metrics, ("solid", (0, (1.2, 1.6))), strict=False):
            _draw_line(axes, panel, line, metric, style)
    # Rewards may lie anywhere; only what is a share has a fixed scale.
    low, high = axes.dataLim.intervaly
    share = panel.share and low >= 0 and high <= 1
    if share:
        axes.set_ylim(0, 1)
        axes.set_yticks((0, 0.25, 0.5, 0.75, 1))
    elif low >= 0:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, share=share)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("step", fontsize=9, color=LIGHT["ink"], loc="right", labelpad=2)
    axes.set_facecolor("none")
    axes.grid(axis="y", color=LIGHT["line"], linewidth=0.7)
    axes.tick_params(length=0, labelsize=9, labelcolor=LIGHT["ink"])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LIGHT["line"])
    axes.margins(x=0.015)


def _draw_line(axes: Axes, panel: Panel, line: Line, metric: str, style: Any) -> None:
    """One method's curve: bold the mean over runs, faint what lies behind it (single steps, or the runs' range)."""
    colour = LIGHT[line.role]
    by_run = [_curve(run, metric, panel) for run in line.runs]
    steps = sorted({step for curve in by_run for step in curve})
    if not steps:
        return
    found = [[value for curve in by_run if (value := curve.get(step)) is not None] for step in steps]
    mean = [fmean(values) if values else math.nan for values in found]
    axes.plot(steps, mean, color=colour, lw=2.2, ls=style, clip_on=False)
    if len(line.runs) > 1:
        low = [min(values, default=math.nan) for values in found]
        high = [max(values, default=math.nan) for values in found]
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    elif not panel.cumulative and len(panel.metrics) == 1:
        raw = [record.get(metric) for record in line.runs[0]]
        single = [math.nan if value is None else value for value in raw]
        axes.plot(steps, single, color=colour, lw=0.9, alpha=0.35, clip_on=False)


def _curve(run: Sequence[Record], metric: str, panel: Panel) -> dict[int, float | None]:
    values = [record.get(metric) for record in run]
    drawn = list(accumulate(value or 0.0 for value in values)) if panel.cumulative else trailing_mean(values)
    return dict(zip((record["step"] for record in run), drawn, strict=True))


def _tick(value: float, *, share: bool) -> str:
    if share:
        return f"{value:.0%}"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def svg_of(figure: Figure) -> str:
    """A figure as an SVG element, without what depends on the moment."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Type", "Format", "Creator")))
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
