"""Defines how commands that measure a policy tell how far they are, and show what they measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress

from axpo.run.countdown import Countdown
from axpo.terminal.fitting_table import FittingTable
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import Unfailing, say


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
    """Measures with their intervals.

    Args:
        metrics: by name, each as JSON holds it.
        title: stands above them.
    """
    return FittingTable(
        title=title,
        columns=("value", "95\u00a0% interval", "n"),
        rows=tuple((name, *_cells(metric)) for name, metric in metrics.items()),
    )


def _cells(metric: Mapping[str, Any]) -> tuple[str, str, str]:
    if metric["value"] is None:
        return "-", "", "0"
    interval = "" if metric["low"] is None else f"{metric['low']:.3f} to {metric['high']:.3f}"
    return f"{metric['value']:.3f}", interval, str(metric["n"])
