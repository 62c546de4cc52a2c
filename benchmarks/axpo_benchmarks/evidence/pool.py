"""Defines `Pool`, which runs the cells of a plan, several at a time, each in a process of its own with one thread."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Final

from axpo.run.countdown import duration
from axpo.terminal.unfailing import say
from axpo_benchmarks.evidence._job import LOG, ROW, write_job
from axpo_benchmarks.evidence.plan import Planned, job_of, missing
from axpo_benchmarks.evidence.rows import Row, append_row, read_rows

PROGRAM: Final = (sys.executable, "-m", "axpo_benchmarks.evidence._cell")
"""What runs a cell."""
_POLL_S: Final = 0.2
_GRACE_S: Final = 60.0
_UNKNOWN_S: Final = 300.0
_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where cells are run, where their rows are kept, and how many run side by side."""

    out: Path
    """The folder of the cells' folders."""
    rows: Path
    """The folder of rows."""
    command: str
    """The command that asked for them."""
    workers: int = 1
    """Cells side by side."""
    keep_runs: bool = True
    """Whether the folder of a finished cell stays."""


@dataclass(slots=True)
class _Running:
    planned: Planned
    process: subprocess.Popen[bytes]
    begun: float


@dataclass(slots=True)
class Pool:
    """The cells under way, those to come, and those that failed.

    Args:
        planned: the whole plan, in order.
        place: where they are run.
        on_row: called after each new row.
        program: runs the cell of the folder that is its last argument.
    """

    planned: Sequence[Planned]
    place: Place
    on_row: Callable[[], None] = lambda: None
    program: tuple[str, ...] = PROGRAM
    rows: dict[str, Row] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    _running: list[_Running] = field(default_factory=list)
    _took: list[float] = field(default_factory=list)

    def run(self, *, minutes: float | None = None) -> None:
        """Runs what is missing, in order, until all is done or time is up; cells under way then are saved and left.

        Raises:
            KeyboardInterrupt: it was asked to stop; cells under way are saved.
        """
        ends = None if minutes is None else time.monotonic() + 60 * minutes
        self._reread()
        self._collect(missing(self.planned, self.rows.values()))
        try:
            while ends is None or time.monotonic() < ends:
                self._begin()
                if not self._running:
                    return
                time.sleep(_POLL_S)
                self._reap()
            say(f"evidence: time is up; {len(self._running)} cells under way are saved")
        finally:
            self._stop()

    def _begin(self) -> None:
        """Starts cells while there is room for one and one that waits for nothing."""
        under_way = {one.planned.identity for one in self._running}
        for planned in missing(self.planned, self.rows.values()):
            if len(self._running) >= self.place.workers:
                return
            waits = planned.needs is not None and planned.needs not in self.rows
            also = planned.begun_by in under_way
            if planned.identity in under_way or planned.identity in self.failed or waits or also:
                continue
            self._running.append(self._started(planned))
            under_way.add(planned.identity)

    def _started(self, planned: Planned) -> _Running:
        place = self.place
        folder = place.out / planned.identity
        write_job(job_of(planned, self.rows, out=place.out, command=place.command, workers=place.workers), folder)
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        with (folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                [*self.program, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        say(f"evidence: begins {planned.cell.title}; {self._left()}")
        return _Running(planned, process, time.monotonic())

    def _reap(self) -> None:
        for one in [running for running in self._running if running.process.poll() is not None]:
            self._running.remove(one)
            folder = self.place.out / one.planned.identity
            if one.process.returncode == 0:
                self._took.append(time.monotonic() - one.begun)
                self._collect((one.planned,))
            else:
                self.failed[one.planned.identity] = f"exit code {one.process.returncode}, see {folder / LOG}"
                say(f"evidence: {one.planned.cell.title} failed: {self.failed[one.planned.identity]}")

    def _collect(self, planned: Iterable[Planned]) -> None:
        """Takes in the rows that cells have left in their folders."""
        for one in planned:
            path = self.place.out / one.identity / ROW
            if not path.is_file():
                continue
            append_row(self.place.rows, json.loads(path.read_text(encoding="utf-8")))
            self._reread()
            say(f"evidence: done {one.cell.title}; {self._left()}")
            self.on_row()
            if not self.place.keep_runs:
                shutil.rmtree(self.place.out / one.identity)

    def _reread(self) -> None:
        self.rows = {row["cell"]: row for row in read_rows(self.place.rows)}

    def _left(self) -> str:
        left = len(missing(self.planned, self.rows.values())) - len(self.failed)
        each = fmean(self._took) if self._took else _UNKNOWN_S
        return f"{left} of {len(self.planned)} cells left, about {duration(left * each / self.place.workers)}"

    def _stop(self) -> None:
        """Asks what is under way to save itself, and waits for it."""
        for one in self._running:
            one.process.send_signal(signal.SIGTERM)
        ends = time.monotonic() + _GRACE_S
        for one in self._running:
            try:
                one.process.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()
        self._running.clear()
