"""Defines `write_plane`, the picture of the calibration plane: attempt rate across, success of acting up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from axpo.report._charts import check_picture, write_figure
from axpo.report._palette import LIGHT

_LEVELS: Final = (0.1, 0.25, 0.5, 0.75)
"""Shares of rollouts that act and succeed, along which a line is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanePoint:
    """One checkpoint in the plane."""

    label: str
    """What stands beside it."""
    across: Mapping[str, Any]
    """Its attempt rate: value, low and high."""
    up: Mapping[str, Any]
    """The success of its rollouts that act: value, low and high."""

    @property
    def known(self) -> bool:
        """Whether it has a place: a policy that never acts has none."""
        return self.across["value"] is not None and self.up["value"] is not None


def write_plane(points: Sequence[PlanePoint], path: Path) -> None:
    """Draws checkpoints in their order, joined by arrows, with 95 % intervals; as SVG or PNG by the path's suffix.

    Along a grey line the share of rollouts that act and succeed is the same: q times p_tool of Proposition 1
    (arXiv:2605.28774).

    Args:
        points: the checkpoints; those without a place are left out.
        path: the file.

    Raises:
        ValueError: the suffix is neither.
        OSError: the file cannot be written.
    """
    check_picture(path)
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "plane"}):
        figure = Figure(figsize=(4.8, 4.4), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        _draw_ground(axes)
        _draw_points(axes, [point for point in points if point.known])
        write_figure(figure, path)


def _draw_ground(axes: Axes) -> None:
    for level in _LEVELS:
        across = np.linspace(level, 1, 200)
        axes.plot(across, level / across, color=LIGHT["line"], lw=1, zorder=0)
        axes.annotate(f"{level:.0%}", (1, level), color=LIGHT["start"], fontsize=8, ha="right", va="bottom")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("tool-attempt rate", fontsize=9, color=LIGHT["ink"])
    axes.set_ylabel("Pass@1 of rollouts that act", fontsize=9, color=LIGHT["ink"])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(length=0, labelsize=9, labelcolor=LIGHT["ink"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(LIGHT["line"])


def _draw_points(axes: Axes, points: Sequence[PlanePoint]) -> None:
    colour = LIGHT["axpo"]
    places = [(point.across["value"], point.up["value"]) for point in points]
    for point, place in zip(points, places, strict=True):
        axes.errorbar(
            *place,
            xerr=_arms(point.across),
            yerr=_arms(point.up),
            fmt="o",
            color=colour,
            ecolor=colour,
            elinewidth=0.8,
            clip_on=False,
        )
        axes.annotate(point.label, place, xytext=(6, -11), textcoords="offset points", fontsize=8, color=LIGHT["ink"])
    for before, after in pairwise(places):
        axes.annotate("", after, xytext=before, arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.4})


def _arms(metric: Mapping[str, Any]) -> list[list[float]] | None:
    if metric["low"] is None:
        return None
    return [[metric["value"] - metric["low"]], [metric["high"] - metric["value"]]]
