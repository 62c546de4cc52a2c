"""Defines `RunLog`, the folder of a training run: config, metrics, evaluations, rollouts, TensorBoard events.

What it holds is sealed (see `axpo.records._seal`); TensorBoard's events and the report are made from it and are not.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from axpo.algorithm.types import Group
from axpo.records import _atomic as atomic
from axpo.records._events import RunEvents
from axpo.records._folder import (
    CHANGES,
    CHECKPOINTS,
    CONFIG,
    EVALUATIONS,
    METRICS,
    ROLLOUTS,
    TENSORBOARD,
    RunLogError,
    check_run,
    clear_errors,
    foreign_files,
    is_run,
    lock,
    require_run,
)
from axpo.records._jsonl import JsonLines, Record, Tip
from axpo.records._manifest import manifest_hash
from axpo.records._reading import metric_values, read_changes, read_evaluations, read_steps
from axpo.records._rollout_log import saved_steps, step_folder, write_rollouts
from axpo.records._seal import Seal, text_hash
from axpo_envs.tool.protocol import Tool

__all__ = ["RunLog", "RunLogError", "check_run", "read_changes", "read_evaluations", "read_steps"]


class RunLog:
    """Writes and reads a run folder.

    Every record is on the disk when the method that writes it returns, so that a run killed at any moment loses at
    most the record it was writing. One process at a time may hold a run open; `read_steps` and `read_evaluations`
    look into a run that another process is writing.

    Args:
        folder: a folder that `create` made.
        tensorboard: write TensorBoard events beside `metrics.jsonl`.

    Raises:
        RunLogError: it is no run folder, its files are damaged, or another process holds it open.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = True) -> None:
        require_run(folder)
        self.folder = folder
        self._metrics = JsonLines(folder / METRICS)
        self._evaluations = JsonLines(folder / EVALUATIONS)
        self._changes = JsonLines(folder / CHANGES)
        self._tensorboard = tensorboard
        self._events: RunEvents | None = None
        self._last_step: int | None = None
        self._lock = lock(folder)
        try:
            with clear_errors(folder):
                for place in (folder, folder / CHECKPOINTS, folder / ROLLOUTS):
                    atomic.remove_unfinished(place)
                self._seal = check_run(folder)
                for log in self._logs:
                    log.repair()
            self._find_last()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, folder: Path, config_toml: str, *, tensorboard: bool = True) -> Self:
        """Makes the folder and writes its `config.toml`.

        Raises:
            RunLogError: the folder holds something already, or cannot be written.
        """
        if is_run(folder):
            raise RunLogError(
                f"{folder} holds a run already: continue it (axpo train --resume {folder}) or choose another folder"
            )
        with clear_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if found := foreign_files(folder):
                raise RunLogError(f"the run folder {folder} must be new or empty; it holds {', '.join(found[:5])}")
            # The settings make it a run, so they come last.
            Seal(config=(text_hash(config_toml.encode()),)).write(folder)
            atomic.write_text(folder / CONFIG, config_toml)
        return cls(folder, tensorboard=tensorboard)

    @classmethod
    def open(cls, folder: Path, *, tensorboard: bool = True) -> Self:
        """Opens an existing run to continue it. Raises as the class does."""
        return cls(folder, tensorboard=tensorboard)

    @property
    def last_step(self) -> int | None:
        """The newest step in `metrics.jsonl`; None before the first."""
        return self._last_step

    def steps(self) -> list[Record]:
        """Every step record, oldest first."""
        return self._metrics.read()

    def evaluations(self) -> list[Record]:
        """Every evaluation record, oldest first."""
        return self._evaluations.read()

    def append_step(self, record: Mapping[str, float | int | None]) -> None:
        """Adds one training step to `metrics.jsonl` and TensorBoard; NaN is stored as null.

        Raises:
            RunLogError: the record has no whole number `step` above the last one, or the disk is full.
        """
        step = _step(record)
        if self._last_step is not None and step <= self._last_step:
            raise RunLogError(f"{self.folder / METRICS} ends at step {self._last_step}; step {step} came after it")
        self._append(self._metrics, record, {f"train/{name}": value for name, value in record.items()})
        self._last_step = step

    def append_evaluation(self, record: Mapping[str, Any]) -> None:
        """Adds one evaluation to `evaluations.jsonl`, its metrics also to TensorBoard.

        Raises:
            RunLogError: the record has no whole number `step`, or the disk is full.
        """
        self._append(
            self._evaluations, record, {f"eval/{name}": value for name, value in metric_values(record).items()}
        )

    def change_config(self, config_toml: str, change: Mapping[str, Any]) -> None:
        """Replaces the settings and records what was changed in `changes.jsonl`.

        Raises:
            RunLogError: the disk is full or the folder cannot be written.
        """
        with clear_errors(self.folder):
            self._seal_log(self._changes, self._changes.append(change))
            new = text_hash(config_toml.encode())
            self._write_seal(replace(self._seal, config=(*self._seal.config, new)))
            atomic.write_text(self.folder / CONFIG, config_toml)
            self._write_seal(replace(self._seal, config=(new,)))

    def keep_checkpoints(self, folders: Sequence[Path]) -> None:
        """Seals the run's checkpoints, all of them: others are no longer missed.

        Raises:
            RunLogError: the disk is full or the folder cannot be written.
        """
        kept = {name: digest for name, digest in self._seal.folders.items() if not name.startswith(CHECKPOINTS)}
        kept |= {folder.relative_to(self.folder).as_posix(): manifest_hash(folder) for folder in folders}
        with clear_errors(self.folder):
            self._write_seal(replace(self._seal, folders=kept))

    def sealed_checkpoints(self) -> dict[str, str]:
        """The checkpoints that must be there: the name of each folder, and the hash of its manifest."""
        prefix = f"{CHECKPOINTS}/"
        return {
            name.removeprefix(prefix): digest for name, digest in self._seal.folders.items() if name.startswith(prefix)
        }

    def write_rollouts(self, step: int, groups: Sequence[Group], limit: int, tools: Sequence[Tool] = ()) -> None:
        """Saves rollouts of a step under `rollouts/`; see `axpo.records._rollout_log.write_rollouts`.

        Raises:
            RunLogError: the disk is full or the folder cannot be written.
        """
        with clear_errors(self.folder):
            write_rollouts(self.folder / ROLLOUTS, step, groups, limit=limit, tools=tools)
            folder = step_folder(self.folder / ROLLOUTS, step)
            sealed = {**self._seal.folders, folder.relative_to(self.folder).as_posix(): manifest_hash(folder)}
            self._write_seal(replace(self._seal, folders=sealed))

    def truncate_after(self, step: int) -> None:
        """Drops every record of later steps, so that a run resumed from that step's checkpoint repeats them once.

        Raises:
            RunLogError: the disk is full or the folder cannot be written.
        """
        rollouts = self.folder / ROLLOUTS
        later = [step_folder(rollouts, saved) for saved in saved_steps(rollouts) if saved > step]
        with clear_errors(self.folder):
            tips = {log.path.name: _tip_at(log, step) for log in (self._metrics, self._evaluations)}
            gone = {folder.relative_to(self.folder).as_posix() for folder in later}
            kept = {name: digest for name, digest in self._seal.folders.items() if name not in gone}
            self._write_seal(replace(self._seal, logs={**self._seal.logs, **tips}, folders=kept))
            for log in (self._metrics, self._evaluations):
                log.keep(tips[log.path.name].lines)
            for folder in later:
                shutil.rmtree(folder)
        self._find_last()

    def close(self) -> None:
        """Flushes TensorBoard and lets other processes open the run; harmless when repeated."""
        if self._events is not None:
            self._events.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _logs(self) -> tuple[JsonLines, ...]:
        return self._metrics, self._evaluations, self._changes

    def _seal_log(self, log: JsonLines, tip: Tip) -> None:
        self._write_seal(replace(self._seal, logs={**self._seal.logs, log.path.name: tip}))

    def _write_seal(self, seal: Seal) -> None:
        seal.write(self.folder)
        self._seal = seal

    def _find_last(self) -> None:
        self._last_step = _last(self.steps())
        if self._events is not None:
            self._events.close()
        if self._tensorboard:
            last = _last(self.steps() + self.evaluations())
            self._events = RunEvents(self.folder / TENSORBOARD, last_step=last)

    def _append(self, lines: JsonLines, record: Mapping[str, Any], scalars: Mapping[str, Any]) -> None:
        step = _step(record)
        with clear_errors(self.folder):
            self._seal_log(lines, lines.append(record))
            if self._events is not None:
                self._events.add(scalars, step)


def _tip_at(log: JsonLines, step: int) -> Tip:
    """The tip behind the records of that step and earlier ones, which come first."""
    earlier = [_step(record) <= step for record in log.read()]
    return log.tips()[sum(earlier)]


def _last(records: Sequence[Record]) -> int | None:
    return max((_step(record) for record in records), default=None)


def _step(record: Mapping[str, Any]) -> int:
    step = record.get("step")
    if not isinstance(step, int):
        raise RunLogError(f"a record needs a whole number 'step'; got {step!r} among {', '.join(record) or 'nothing'}")
    return step
