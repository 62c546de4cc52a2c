"""Defines the picture of the phase diagram: a panel per learning rate, coloured by what AXPO gains on GRPO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from axpo_benchmarks.evidence.figures import write_svg
from axpo_benchmarks.evidence.phase_map import PhasePoint

_LETTERS: Final = {"no help needed": "ok", "delayed": "delayed", "collapse": "collapse"}
_SPAN: Final = 0.3
"""Gains from which on colours stay as they are."""


def draw_phase(points: Sequence[PhasePoint], path: Path) -> None:
    """Writes the diagram as SVG; points that were not run are blank and say so."""
    rates = list(dict.fromkeys(point.rate for point in points))
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "axpo", "font.size": 8.0}):
        figure = Figure(figsize=(8.4, 3.0 * len(rates) + 0.4), layout="constrained", facecolor="white")
        for place, rate in enumerate(rates, start=1):
            _panel(figure.add_subplot(len(rates), 1, place), [point for point in points if point.rate == rate])
        figure.suptitle(
            "GRPO's fate, and AXPO's Pass@1 less GRPO's (blue: AXPO is ahead)", x=0.01, ha="left", fontsize=10
        )
        write_svg(figure, path)


def _panel(axes: Axes, points: Sequence[PhasePoint]) -> None:
    guesses = list(dict.fromkeys(point.guess_rate for point in points))
    sizes = list(dict.fromkeys(point.character_size for point in points))
    gains = np.full((len(sizes), len(guesses)), np.nan)
    for point in points:
        row, column = sizes.index(point.character_size), guesses.index(point.guess_rate)
        if point.gains:
            gains[row, column] = fmean(point.gains)
        axes.text(column, row, _told(point), ha="center", va="center", fontsize=7, color="#222222")
    axes.imshow(gains, cmap="RdBu", vmin=-_SPAN, vmax=_SPAN, aspect="auto")
    axes.set_xticks(range(len(guesses)), [f"{guess:g}" for guess in guesses])
    axes.set_yticks(range(len(sizes)), [_height(points, size) for size in sizes])
    axes.set_xlabel("guessing may succeed on")
    axes.set_ylabel("size of characters\n(success of acting at the start)")
    axes.set_title(f"learning rate x {points[0].rate:g}", loc="left", fontsize=9)


def _told(point: PhasePoint) -> str:
    if point.state is None:
        return "not run"
    gain = f"\n{fmean(point.gains):+.2f}" if point.gains else ""
    return f"{_LETTERS[point.state]}{gain}"


def _height(points: Sequence[PhasePoint], size: float) -> str:
    probed = [point.start["probe"] for point in points if point.character_size == size and point.start]
    known = [probe["p_tool"] for probe in probed if probe and probe["p_tool"] is not None]
    return f"{size:g} ({min(known):.2f} to {max(known):.2f})" if known else f"{size:g}"
