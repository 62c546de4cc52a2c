"""Defines how the curves of runs are drawn by matplotlib: as a picture file."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from axpo.records import _atomic as atomic
from axpo.report._palette import LIGHT
from axpo.report._panels import PANELS, Line, Panel, drawn
from axpo_envs.plumbing.whole_files import write_whole

HEADLINE_PANELS: Final = tuple(panel for panel in PANELS if panel.title in {"Reward", "Tool-attempt rate"})
"""The charts of the picture in README."""


def write_picture(lines: Sequence[Line], path: Path, *, panels: Sequence[Panel] = HEADLINE_PANELS) -> None:
    """Writes charts side by side on white with one legend, as SVG or PNG by the path's suffix.

    Raises:
        ValueError: the suffix is neither.
        OSError: the file cannot be written.
    """
    check_picture(path)
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "axpo"}):
        figure = Figure(figsize=(4.6 * len(panels), 3.2), layout="constrained", facecolor="white")
        for place, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), place)
            axes.set_title(panel.title, fontsize=11, color=LIGHT["ink"], loc="left")
            _draw(axes, panel, lines)
        handles = [Line2D([], [], color=LIGHT[line.role], linewidth=2.2, label=line.label) for line in lines]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(lines), frameon=False)
        write_figure(figure, path)


def check_picture(path: Path) -> None:
    """Raises a ValueError if a file is to be no picture that `write_figure` writes."""
    if path.suffix not in (".svg", ".png"):
        raise ValueError(f"a picture is a .svg or .png file; got {path}")


def write_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as SVG or PNG by the path's suffix; raises an OSError if it cannot be written."""
    if path.suffix == ".svg":
        atomic.write_text(path, svg_of(figure))
        return
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)
    write_whole(path, buffer.getvalue())


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
    curve = drawn(line, metric, panel)
    if not curve.steps:
        return
    axes.plot(curve.steps, _gaps(curve.mean), color=colour, lw=2.2, ls=style, clip_on=False)
    if curve.low is not None and curve.high is not None:
        low, high = _gaps(curve.low), _gaps(curve.high)
        axes.fill_between(curve.steps, low, high, color=colour, alpha=0.15, linewidth=0)
    if curve.single is not None:
        axes.plot(curve.steps, _gaps(curve.single), color=colour, lw=0.9, alpha=0.35, clip_on=False)


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


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
