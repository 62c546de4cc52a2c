"""Defines `axpo eval`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import Progress

import axpo
from axpo.commands.arguments import check_output, parse, write_json
from axpo.records.solved import write_solved
from axpo.run.countdown import Countdown
from axpo.settings._evaluation import EvalConfig
from axpo.terminal.fitting_table import FittingTable
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import Unfailing, say


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalArguments:
    """Measure a policy on held-out questions: Pass@1, Pass@4 and every diagnostic, with 95 % intervals."""

    settings: Annotated[EvalConfig, tyro.conf.arg(name="")]
    """What is evaluated, and how."""
    json: Path | None = None
    """Write the results to this file."""
    solved: Path | None = None
    """Write to this file how often each question was solved, for `axpo train --filter.always` and `--filter.never`."""


def run(arguments: Sequence[str]) -> int:
    """Evaluates; returns the exit code."""
    parsed = parse(EvalArguments, "eval", arguments)
    check_output(parsed.json)
    check_output(parsed.solved, option="solved")
    config = axpo.locate_checkpoint(parsed.settings, warn=lambda text: say(f"axpo: {text}"))
    show = Unfailing()
    with _progress() as told:
        evaluation = axpo.evaluate_checkpoint(config, progress=lambda share: show(told, share))
    record = {**evaluation.as_record(), "settings": asdict(config)}
    write_json(parsed.json, record)
    if parsed.solved is not None:
        write_solved(parsed.solved, evaluation.solved)
    Unfailing()(
        Console().print,
        _table(record["metrics"], title=f"{config.checkpoint} in {config.env}, split {record['split']}"),
    )
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """What is told the finished share: a bar on a terminal, lines now and then elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("evaluating", total=1.0)
            yield lambda share: bar.update(task, completed=share)
        return
    left = Countdown()
    with Heartbeat(lambda line: say(f"axpo: {line}")) as heartbeat:
        heartbeat.doing("evaluating")
        yield lambda share: heartbeat.doing(f"evaluating: {left(share)}")


def _table(metrics: Mapping[str, Mapping[str, Any]], *, title: str) -> FittingTable:
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
