"""Defines the figure of policies that have given their tools up: tool-attempt rates before and after, by arm."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from axpo_benchmarks.evidence.arms import arm_named
from axpo_benchmarks.evidence.comparing import Rows
from axpo_benchmarks.evidence.figures import INK, draw_lines, write_svg

_COLOURS: Final = ("#d55e00", "#0072b2", "#009e73", "#e69f00", "#cc79a7")
"""Told apart by people who confuse red and green, too."""


def draw_recovering(families: Mapping[str, Rows], path: Path) -> bool:
    """Writes the figure as SVG, a panel for each family by its label; False, and no file, where nothing was run.

    Each panel shows the first arm's training from the family's start, and behind it, step for step, what came after.
    """
    shown = {label: rows for label, rows in families.items() if any(arm_named(arm).after for arm in rows)}
    if not shown:
        return False
    arms = sorted({arm for rows in shown.values() for arm in rows if arm_named(arm).after})
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "axpo", "font.size": 8.5}):
        figure = Figure(figsize=(max(6.8, 3.4 * len(shown)), 3.0), layout="constrained", facecolor="white")
        for place, (label, rows) in enumerate(shown.items(), start=1):
            axes = figure.add_subplot(1, len(shown), place)
            _panel(axes, rows, arms, named=place == 1)
            axes.set_title(label, loc="left", fontsize=9, color=INK)
            axes.set_xlabel("training step", color=INK)
            axes.set_ylim(0, 1)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            if place == 1:
                axes.set_ylabel("tool-attempt rate", color=INK)
        figure.legend(loc="outside upper center", ncols=len(arms), frameon=False)
        write_svg(figure, path)
    return True


def _panel(axes: Axes, rows: Rows, arms: list[str], *, named: bool) -> None:
    """What came first in the ink of the axes, what came after in colours; labels for the legend where `named`."""
    for first in sorted({arm_named(arm).after or "" for arm in arms}):
        draw_lines(axes, _rates(rows, first, behind=False), INK, None)
    for arm, colour in zip(arms, cycle(_COLOURS), strict=False):
        draw_lines(axes, _rates(rows, arm, behind=True), colour, arm_named(arm).label if named else None)


def _rates(rows: Rows, arm: str, *, behind: bool) -> list[tuple[list[int], list[float | None]]]:
    """Steps and tool-attempt rates of each seed; the steps counted from where the first run began."""
    return [
        ([step + behind * row["asked_steps"] for step in row["curve"]["step"]], row["curve"]["tool_attempt_rate"])
        for row in rows.get(arm, {}).values()
    ]
