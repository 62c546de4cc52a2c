"""Defines `Shelf`, the runs that are looked at, and `Run`, one of them: its settings, its steps, its rollouts."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from axpo.records._folder import (
    CHECKPOINTS,
    CONFIG,
    EVALUATIONS,
    METRICS,
    ROLLOUTS,
    TENSORBOARD,
    RunLogError,
    is_checkpoint,
    is_run,
    is_sft_run,
)
from axpo.records._jsonl import JsonLines, Record
from axpo.records._reading import metric_values
from axpo.report._run_settings import Settings
from axpo.viewer._watched import Watched, stamp_of
from axpo_envs.plumbing.surrogates import well_formed

DEPTH: Final = 3
"""How many folders below a given one runs are looked for."""
LOOK_S: Final = 2.0
"""Seconds for which no new runs are looked for."""
_LARGEST: Final = 1e60
"""Of numbers that can be drawn, and their sums computed."""
_OWN: Final = frozenset((CHECKPOINTS, ROLLOUTS, TENSORBOARD, "start"))
"""Folders within which no run lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the records of a run say, as far as they can be read."""

    steps: tuple[Record, ...] = ()
    """Its step records, numbers alone."""
    evaluations: tuple[Record, ...] = ()
    """The plain values of its evaluations, with their `step`."""
    problems: tuple[str, ...] = ()
    """What could not be read."""

    @property
    def done(self) -> int:
        """The newest step."""
        return int(self.steps[-1]["step"]) if self.steps else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run folder under the name that links give it."""

    name: str
    """Unique on its shelf; never part of a path."""
    folder: Path
    """Where it is."""
    settings: Settings
    """Its settings."""

    @property
    def rollouts(self) -> Path:
        """Where its rollouts are saved."""
        return self.folder / ROLLOUTS

    @property
    def method(self) -> str:
        """Its method's name; of a method from outside only the last part, so that nothing is imported for its label."""
        return str(self.settings["method"]).rpartition(":")[2]

    @property
    def steps(self) -> int:
        """How many steps it is to have; 0 where its settings do not say."""
        asked = self.settings["steps"]
        return asked if isinstance(asked, int) else 0

    @property
    def group_size(self) -> int | None:
        """How many rollouts a group has; None where its settings do not say."""
        size = self.settings["sampling.group_size"]
        return size if isinstance(size, int) else None

    @property
    def threshold(self) -> float:
        """A rollout with a reward below it is wrong."""
        given = self.settings["success_threshold"]
        return float(given) if isinstance(given, int | float) else 0.5


class Shelf:
    """The runs in some folders, also those that begin while it is looked at.

    Args:
        folders: folders of runs, or folders in which runs lie.

    Raises:
        RunLogError: one of them does not exist, or holds no run.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._settings: Watched[Settings] = Watched(1000)
        self._records: Watched[Progress] = Watched(1000)
        self._found: dict[str, Run] = {}
        self._looked = -math.inf
        self._lock = threading.Lock()
        for folder in self._folders:
            _require_runs(folder)

    def runs(self) -> dict[str, Run]:
        """The runs by name, in the order of the folders."""
        with self._lock:
            if time.monotonic() - self._looked > LOOK_S:
                self._found = {run.name: run for run in self._look()}
                self._looked = time.monotonic()
            return self._found

    def progress(self, run: Run) -> Progress:
        """What the records of a run say now."""
        paths = (run.folder / METRICS, run.folder / EVALUATIONS)
        return self._records.get(run.folder, tuple(map(stamp_of, paths)), lambda: _progress(*paths))

    def stamp(self) -> str:
        """Changes whenever there is something new to see."""
        parts = [
            (run.name, *(stamp_of(run.folder / name) for name in (METRICS, EVALUATIONS, ROLLOUTS)))
            for run in self.runs().values()
        ]
        return f"{hash(tuple(parts)) & 0xFFFFFFFFFFFF:x}"

    def _look(self) -> Iterator[Run]:
        taken: set[str] = set()
        for given in self._folders:
            for folder in _runs_in(given, DEPTH):
                above = given.absolute().parent
                name = well_formed(folder.absolute().relative_to(above).as_posix())
                number = 2
                while name in taken:
                    name, number = f"{name.partition(' #')[0]} #{number}", number + 1
                try:
                    config = folder / CONFIG
                    settings = self._settings.get(folder, stamp_of(config), partial(Settings.of, folder))
                except (OSError, ValueError, RunLogError):
                    # Settings that cannot be read now are looked at again a moment later.
                    continue
                taken.add(name)
                yield Run(name=name, folder=folder, settings=settings)


def _require_runs(folder: Path) -> None:
    if not folder.is_dir():
        raise RunLogError(f"there is no folder {folder}")
    if is_checkpoint(folder):
        raise RunLogError(f"{folder} is a checkpoint; look at its run, {folder.absolute().parent.parent}")
    if next(_runs_in(folder, DEPTH), None) is None:
        what = "is a supervised run" if is_sft_run(folder) else "is no run and holds none"
        raise RunLogError(f"{folder} {what}: expected a training run ({CONFIG}, {METRICS}), or a folder with some")


def _runs_in(folder: Path, depth: int) -> Iterator[Path]:
    """The folder if it is a run, otherwise the runs below it, in the order of their names."""
    if is_run(folder):
        yield folder
    elif depth:
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        except OSError:
            return
        for name in names:
            if name not in _OWN:
                yield from _runs_in(folder / name, depth - 1)


def _progress(metrics: Path, evaluations: Path) -> Progress:
    problems: list[str] = []
    steps = [_numbers(record) for record in _read(metrics, problems)]
    tests = [{**_measures(record), "step": record.get("step")} for record in _read(evaluations, problems)]
    return Progress(steps=_ordered(steps), evaluations=_ordered(tests), problems=tuple(problems))


def _read(path: Path, problems: list[str]) -> list[Record]:
    try:
        records, damage = JsonLines(path).read_undamaged()
    except OSError as error:
        problems.append(f"{path.name} cannot be read: {error.strerror}")
        return []
    if damage is not None:
        problems.append(str(damage))
    return records


def _numbers(record: Record) -> Record:
    """What of a record can be drawn: a file may hold anything."""
    return {
        name: value
        for name, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST
    }


def _measures(record: Record) -> Record:
    with suppress(AttributeError, TypeError, LookupError):
        return _numbers(metric_values(record))
    return {}


def _ordered(records: Sequence[Record]) -> tuple[Record, ...]:
    by_step = {record["step"]: record for record in records if isinstance(record.get("step"), int)}
    return tuple(by_step[step] for step in sorted(by_step))
