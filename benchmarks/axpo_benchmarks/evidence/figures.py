"""Defines the figures of the report: what training went through, and what held-out questions say on the way, by arm."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from axpo_benchmarks.evidence.arms import arm_named
from axpo_benchmarks.evidence.comparing import Rows
from axpo_benchmarks.evidence.rows import Row
from axpo_envs.plumbing.whole_files import write_whole

DRAWN: Final = ("grpo", "axpo", "axpo_forced", "axpo_idle", "grpo_n16")
"""Arms that are drawn, where they have rows."""
_COLOURS: Final = ("#d55e00", "#0072b2", "#cc79a7", "#009e73", "#e69f00")
"""Of these, told apart by people who confuse red and green, too."""
INK: Final = "#333333"
"""What axes and titles are written in."""


def draw_family(rows: Rows, path: Path) -> bool:
    """Writes a family's figure as SVG; False, and no file, where there is nothing to draw."""
    arms = [arm for arm in DRAWN if rows.get(arm)]
    if not arms:
        return False
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "axpo", "font.size": 8.5}):
        figure = Figure(figsize=(10.2, 5.6), layout="constrained", facecolor="white")
        axes = [figure.add_subplot(2, 3, place) for place in range(1, 7)]
        for arm in arms:
            found = list(rows[arm].values())
            colour = _COLOURS[DRAWN.index(arm)]
            _curve(axes[0], found, "tool_attempt_rate", colour, arm)
            _curve(axes[1], found, "reward_mean", colour)
            _curve(axes[2], found, "all_wrong_after_resampling", colour)
            _curve(axes[3], found, "flipped_subgroups", colour)
            _marks(axes[4], found, "step", colour)
            _marks(axes[5], found, "total_tokens", colour)
        titles = (
            *("tool-attempt rate", "reward", "all-wrong tool subgroups, after resampling", "flipped subgroups"),
            *("held-out Pass@1", "held-out Pass@1 by tokens sampled"),
        )
        for one, title in zip(axes, titles, strict=True):
            one.set_title(title, loc="left", fontsize=9, color=INK)
            one.set_ylim(0, 1)
            one.grid(alpha=0.25)
            one.spines[["top", "right"]].set_visible(False)
        for one in axes[:5]:
            one.set_xlabel("training step", color=INK)
        axes[5].set_xlabel("tokens sampled, thousands", color=INK)
        figure.legend(loc="outside upper center", ncols=len(arms), frameon=False)
        write_svg(figure, path)
    return True


def write_svg(figure: Figure, path: Path) -> None:
    """Writes a figure, the same file for the same rows."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(line.rstrip() for line in buffer.getvalue().decode().splitlines())
    write_whole(path, f"{text}\n".encode())


def _curve(axes: Axes, rows: Sequence[Row], metric: str, colour: str, arm: str | None = None) -> None:
    """Every seed thin, their mean thick."""
    curves = [(row["curve"]["step"], row["curve"][metric]) for row in rows]
    draw_lines(axes, curves, colour, None if arm is None else arm_named(arm).label)


def _marks(axes: Axes, rows: Sequence[Row], across: str, colour: str) -> None:
    curves = []
    for row in rows:
        steps = [mark["step"] for mark in row["marks"]]
        where = steps if across == "step" else [_spent(row, step) for step in steps]
        curves.append((where, [mark["pass1"] for mark in row["marks"]]))
    draw_lines(axes, curves, colour, None)


def draw_lines(
    axes: Axes, curves: Sequence[tuple[Sequence[Any], Sequence[Any]]], colour: str, label: str | None
) -> None:
    """Every curve (places across, values or None) thin, and their mean, to where the shortest ends, thick."""
    for across, up in curves:
        axes.plot(across, [float("nan") if value is None else value for value in up], color=colour, lw=0.6, alpha=0.35)
    length = min((len(across) for across, _ in curves), default=0)
    where = [fmean(across[place] for across, _ in curves) for place in range(length)]
    axes.plot(where, [_mean([up[place] for _, up in curves]) for place in range(length)], color=colour, label=label)


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known else float("nan")


def _spent(row: Row, step: int) -> float:
    """Thousands of tokens sampled by a step, between the ends of windows in proportion."""
    known = [(0, 0.0), *zip(row["curve"]["step"], row["curve"]["total_tokens"], strict=True)]
    for (before, least), (after, most) in pairwise(known):
        if step <= after:
            return float(least + (most - least) * (step - before) / (after - before)) / 1000
    return float(known[-1][1]) / 1000
