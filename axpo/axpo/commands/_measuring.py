"""Defines how commands that measure a policy tell how far they are, and show what they measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from axpo.diagnostics.permission import shown_of_parts
from axpo.diagnostics.registry import metric_named
from axpo.run.countdown import Countdown
from axpo.terminal.fitting_table import FittingTable
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import Unfailing, say

_MOST_PARTS: Final = 12
_UNDEFINED: Final = "-"
_HEADLINES: Final = ("tool_attempt_rate", "pass1", "tool_pass1", "no_tool_pass1", "no_signal_at_calls")
_OF_TOOLS: Final = (
    *("tool_attempt_rate", "tool_call_valid_rate", "tool_success_rate", "tool_pass1"),
    "all_wrong_tool_subgroups",
)
_KINDS: Final = {
    "by_environment": ("by environment", _HEADLINES),
    "by_tool": ("by tool", _OF_TOOLS),
    "by_hops": ("by calls needed", _HEADLINES),
    "over_time": ("over steps", _HEADLINES),
}
"""What stands in records of parts, with the heading and the metrics that are shown of each."""


@contextmanager
def measuring(doing: str) -> Iterator[Callable[[float], None]]:
    """What is told the finished share: a bar on a terminal, lines now and then elsewhere; it never fails."""
    show = Unfailing()
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task(doing, total=1.0)
            yield lambda share: show(bar.update, task, completed=share)
        return
    left = Countdown()
    with Heartbeat(lambda line: say(f"axpo: {line}")) as heartbeat:
        heartbeat.doing(doing)
        yield lambda share: show(heartbeat.doing, f"{doing}: {left(share)}")


def measured_table(metrics: Mapping[str, Mapping[str, Any]], *, title: str) -> FittingTable:
    """Measures with their intervals; optional ones where they were observed.

    Args:
        metrics: by name, each as JSON holds it.
        title: stands above them.
    """
    return FittingTable(
        title=title,
        columns=("value", "95\u00a0% interval", "n"),
        rows=tuple(
            (name, *_cells(metric))
            for name, metric in metrics.items()
            if metric["value"] is not None or not metric_named(name).optional
        ),
    )


def part_tables(record: Mapping[str, Any]) -> Iterator[FittingTable]:
    """What was measured per environment, tool, number of needed calls and period of steps, where there are several.

    Args:
        record: what `axpo eval --json` and `axpo audit --json` write.
    """
    for kind, (title, usual) in _KINDS.items():
        found = record.get(kind, {})
        if len(found) > 1:
            names = (*usual, *shown_of_parts(partial(_is_observed, found)))
            shown = dict(islice(found.items(), _MOST_PARTS))
            more = f", {len(shown)} of {len(found)}" if len(shown) < len(found) else ""
            yield FittingTable(
                title=title + more,
                columns=tuple(metric_named(name).label for name in names),
                rows=tuple((part, *(_share(metrics.get(name)) for name in names)) for part, metrics in shown.items()),
            )


def _is_observed(parts: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return any(_share(metrics.get(name)) != _UNDEFINED for metrics in parts.values())


def _share(metric: Mapping[str, Any] | None) -> str:
    if metric is None or metric["value"] is None:
        return _UNDEFINED
    interval = "" if metric["low"] is None else f" ({metric['low']:.2f}-{metric['high']:.2f})"
    return f"{metric['value']:.2f}{interval}"


def _cells(metric: Mapping[str, Any]) -> tuple[str, str, str]:
    if metric["value"] is None:
        return "-", "", "0"
    interval = "" if metric["low"] is None else f"{metric['low']:.3f} to {metric['high']:.3f}"
    return f"{metric['value']:.3f}", interval, str(metric["n"])
