"""Defines `Display`, which shows a run while it goes on: live on a terminal, plain lines in a pipe or a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from axpo.algorithm.methods import label_of
from axpo.diagnostics.metric import Shown
from axpo.diagnostics.registry import shown_in
from axpo.records.outcomes import questions_of
from axpo.run.countdown import duration
from axpo.run.display import Display, Silent
from axpo.settings.config import TrainConfig
from axpo.terminal.heartbeat import FIRST_S, Heartbeat
from axpo_envs.plumbing.printable import printable

PLAIN_LINES: Final = 20
"""About how many lines a run prints where nothing can be redrawn."""

NARROW: Final = 80
"""Columns below which a terminal cannot show bar, numbers and curves side by side without cutting some."""

_RECENT: Final = 10
"""Steps from whose pace the time left is told."""

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH: Final = 40


class Plain(Silent):
    """Prints a line for some of the steps and for every evaluation and note, and now and then what is being done.

    Args:
        console: where to.
        quiet_s: seconds without a line after which one says what is being done.
    """

    def __init__(self, console: Console, *, quiet_s: float = FIRST_S) -> None:
        self._console = console
        self._done = 0
        self._steps = self._every = 1
        self._ends: deque[float] = deque(maxlen=_RECENT + 1)
        self._heartbeat = Heartbeat(self.note, first_s=quiet_s)

    def start(self, config: TrainConfig, step: int) -> None:
        """Prints what is about to run."""
        self._done, self._steps = step, config.steps
        self._every = max(1, config.steps // PLAIN_LINES)
        self.note(_title(config) + (f", from step {step}" if step else ""))

    def phase(self, name: str) -> None:
        """Keeps it for the line that says what is being done."""
        if name == "sampling" and not self._ends:
            self._ends.append(time.monotonic())
        step = min(self._done + 1, self._steps)
        where = f"after step {self._done}" if name.startswith("evaluation") else f"step {step}/{self._steps}"
        self._heartbeat.doing(f"{where}: {name}{self._left(', ')}")

    def step(self, record: Mapping[str, float | int | None]) -> None:
        """Prints some of the steps, the last one always."""
        self._done = step = int(record["step"] or 0)
        self._ends.append(time.monotonic())
        if step % self._every and step != self._steps:
            return
        shown = shown_in(Shown.STEP, lambda name: record.get(name) is not None)
        values = "  ".join(f"{label} {_number(record.get(name))}" for name, label in shown.items())
        pace = f"{_number(record.get('seconds_step'))} s"
        self.note(f"step {step}/{self._steps}  {values}  {pace}{self._left('  ')}")

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Prints its main results."""
        self.note(_evaluation_line(record))

    def note(self, text: str) -> None:
        """Prints a line, whatever its length."""
        self._console.print(printable(text), soft_wrap=True, markup=False, highlight=False)
        self._heartbeat.spoke()

    def __enter__(self) -> Self:
        self._heartbeat.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._heartbeat.__exit__(kind, error, traceback)

    def _left(self, before: str) -> str:
        """How long the remaining steps will take; nothing while that is not known, or worth no words."""
        if len(self._ends) < 2:
            return ""
        left = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1) * (self._steps - self._done)
        return f"{before}{duration(left)} left" if left >= 1 else ""


class Terminal(Silent):
    """Redraws a progress bar, the time left and the curves of the shown metrics."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # What has no fixed width stands on lines of its own, where it pushes no number out of sight.
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=None)
        self._run = self._phase = ""
        self._history: dict[str, list[float | None]] = {name: [] for name in shown_in(Shown.STEP)}
        self._live = Live(self.drawing(), console=console, refresh_per_second=4)

    def start(self, config: TrainConfig, step: int) -> None:
        """Begins the bar at the step that is done."""
        self._run = _title(config)
        self._progress.reset(self._task, total=config.steps, completed=step)
        self._live.update(self.drawing())

    def phase(self, name: str) -> None:
        """Shows it below the bar."""
        self._phase = name
        self._live.update(self.drawing())

    def step(self, record: Mapping[str, float | int | None]) -> None:
        """Moves the bar and the curves on."""
        for name, values in self._history.items():
            values.append(record.get(name))
        self._progress.update(self._task, completed=int(record["step"] or 0))
        self._live.update(self.drawing())

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Prints its main results above the bar."""
        self.note(_evaluation_line(record))

    def note(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(printable(text), markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.phase("")
        self._live.stop()

    def drawing(self) -> Group:
        """What is shown now and drawn anew with every change."""
        table = Table.grid(padding=(0, 2))
        shown = shown_in(Shown.STEP, lambda name: any(value is not None for value in self._history[name]))
        for name, label in shown.items():
            values = self._history[name]
            table.add_row(label, _number(values[-1] if values else None), sparkline(values[-_SPARK_WIDTH:]))
        return Group(Text(printable(self._run)), self._progress, Text(printable(self._phase)), table)


def open_display(console: Console | None = None) -> Display:
    """The display that suits where the output goes: live on a terminal, plain lines anywhere else, narrow ones too."""
    console = console or Console()
    redraws = console.is_terminal and not console.is_dumb_terminal and console.width >= NARROW
    return Terminal(console) if redraws else Plain(console)


def sparkline(values: Sequence[float | None]) -> str:
    """Shares (0 to 1) as a row of blocks; undefined ones leave a gap.

    Worked value: (0.0, None, 1.0) gives "▁ █".
    """
    heights = (None if v is None else min(max(round(v * (len(_BLOCKS) - 1)), 0), len(_BLOCKS) - 1) for v in values)
    return "".join(" " if height is None else _BLOCKS[height] for height in heights)


def _title(config: TrainConfig) -> str:
    return f"{label_of(config.method)} on {config.env.rpartition('/')[2]}, seed {config.seed}"


def _evaluation_line(record: Mapping[str, Any]) -> str:
    metrics = record["metrics"]
    observed = {name for name, metric in metrics.items() if metric["value"] is not None}
    labels = shown_in(Shown.EVALUATION, observed.__contains__)
    shown = [f"{label} {_interval(metrics[name])}" for name, label in labels.items() if name in metrics]
    return f"evaluation at step {record['step']}, {questions_of(record)}:  " + "  ".join(shown)


def _interval(metric: Mapping[str, float | None]) -> str:
    value = _number(metric["value"])
    if metric["low"] is None or metric["high"] is None:
        return value
    return f"{value} ({_number(metric['low'])}-{_number(metric['high'])})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
