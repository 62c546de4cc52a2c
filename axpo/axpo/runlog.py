"""Defines `RunLog`, the folder of a training run: config, metrics, evaluations, rollouts, TensorBoard events.

What it holds is sealed (see `axpo.seal`); TensorBoard's events and the report are made from it and are not.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from axpo import atomic
from axpo.jsonl import DamagedFileError, JsonLines, Record, Tip
from axpo.manifest import manifest_hash
from axpo.rollout_log import saved_steps, step_folder, write_rollouts
from axpo.seal import SEAL, Seal, read_seal, text_hash
from axpo.types import Group
from axpo_envs.extras import requiring

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CONFIG: Final = "config.toml"
METRICS: Final = "metrics.jsonl"
EVALUATIONS: Final = "evaluations.jsonl"
CHANGES: Final = "changes.jsonl"
ROLLOUTS: Final = "rollouts"
TENSORBOARD: Final = "tensorboard"
CHECKPOINTS: Final = "checkpoints"
OPTIMIZER: Final = "trainer.safetensors"
PROGRESS: Final = "trainer.json"


class RunLogError(Exception):
    """A run folder cannot be made, read or written; the message says which, why, and what to do."""


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
        _check_run(folder)
        self.folder = folder
        self._metrics = JsonLines(folder / METRICS)
        self._evaluations = JsonLines(folder / EVALUATIONS)
        self._changes = JsonLines(folder / CHANGES)
        self._tensorboard = tensorboard
        self._events: SummaryWriter | None = None
        self._last_step: int | None = None
        self._last_event: int | None = None
        self._lock = _lock(folder)
        try:
            with _clear_errors(folder):
                atomic.remove_unfinished(folder)
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
        with _clear_errors(folder):
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
        with _clear_errors(self.folder):
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
        with _clear_errors(self.folder):
            self._write_seal(replace(self._seal, folders=kept))

    def sealed_checkpoints(self) -> dict[str, str]:
        """The checkpoints that must be there: the name of each folder, and the hash of its manifest."""
        prefix = f"{CHECKPOINTS}/"
        return {
            name.removeprefix(prefix): digest for name, digest in self._seal.folders.items() if name.startswith(prefix)
        }

    def write_rollouts(self, step: int, groups: Sequence[Group], limit: int) -> None:
        """Saves rollouts of a step under `rollouts/`; see `axpo.rollout_log.write_rollouts`.

        Raises:
            RunLogError: the disk is full or the folder cannot be written.
        """
        with _clear_errors(self.folder):
            write_rollouts(self.folder / ROLLOUTS, step, groups, limit=limit)
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
        with _clear_errors(self.folder):
            tips = {log.path.name: _tip_at(log, step) for log in (self._metrics, self._evaluations)}
            gone = {folder.relative_to(self.folder).as_posix() for folder in later}
            kept = {name: digest for name, digest in self._seal.folders.items() if name not in gone}
            self._write_seal(replace(self._seal, logs={**self._seal.logs, **tips}, folders=kept))
            for log in (self._metrics, self._evaluations):
                log.keep(tips[log.path.name].lines)
            for folder in later:
                shutil.rmtree(folder)
        self._close_events()
        self._find_last()

    def close(self) -> None:
        """Flushes TensorBoard and lets other processes open the run; harmless when repeated."""
        self._close_events()
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
        self._last_event = _last(self.steps() + self.evaluations())

    def _append(self, lines: JsonLines, record: Mapping[str, Any], scalars: Mapping[str, Any]) -> None:
        step = _step(record)
        with _clear_errors(self.folder):
            self._seal_log(lines, lines.append(record))
            if self._tensorboard:
                self._add_scalars(scalars, step)
        self._last_event = step if self._last_event is None else max(step, self._last_event)

    def _add_scalars(self, scalars: Mapping[str, Any], step: int) -> None:
        if self._events is None:
            # Readers of a run need not wait for it.
            with requiring("train", "the log of a run"):
                from torch.utils.tensorboard import SummaryWriter

            # Events of steps that are about to be repeated stay in the older files: TensorBoard is told to hide them.
            purge = 0 if self._last_event is None else self._last_event + 1
            self._events = SummaryWriter(str(self.folder / TENSORBOARD), purge_step=purge)
        for name, value in scalars.items():
            if isinstance(value, int | float) and not name.endswith("/step"):
                self._events.add_scalar(name, value, step)
        self._events.flush()

    def _close_events(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None


def is_run(folder: Path) -> bool:
    """Whether the folder is that of a training run: a checkpoint and a supervised run have settings, too."""
    return (folder / CONFIG).is_file() and ((folder / SEAL).is_file() or (folder / METRICS).is_file())


def is_checkpoint(folder: Path) -> bool:
    """Whether the folder is a checkpoint of a training run, whole or not."""
    return (folder / PROGRESS).is_file() or (folder / OPTIMIZER).is_file()


def is_sft_run(folder: Path) -> bool:
    """Whether the folder is that of a supervised run, whose settings have stages."""
    try:
        return "stages" in tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def check_run(folder: Path) -> Seal:
    """Makes sure that a run folder holds all that was written: settings, records, and the rollouts' manifests.

    Also while another process is writing it.

    Raises:
        DamagedFileError: something is changed, cut short or missing; the message names it.
        OSError: a file cannot be read.
    """
    seal = read_seal(folder)
    try:
        _check_sealed(seal, folder)
    except DamagedFileError:
        # A run that is resumed meanwhile has shortened both.
        again = read_seal(folder)
        if again == seal:
            raise
        _check_sealed(again, folder)
        return again
    return seal


def foreign_files(folder: Path) -> list[str]:
    """What a folder holds besides what a process left that was killed while it began a run there; sorted."""
    ours = (atomic.PARTIAL, SEAL)
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(ours))


def read_changes(folder: Path) -> list[Record]:
    """How the settings of a run were changed after it had begun: records with `step` and `settings`.

    Raises:
        RunLogError: it is no run folder, or its file is damaged.
    """
    return _read(folder, CHANGES)


def read_steps(folder: Path) -> list[Record]:
    """The step records of a run, oldest first; also while another process is writing it.

    Raises:
        RunLogError: it is no run folder, or its file is damaged.
    """
    return _read(folder, METRICS)


def read_evaluations(folder: Path) -> list[Record]:
    """The evaluation records of a run, oldest first; also while another process is writing it.

    Raises:
        RunLogError: it is no run folder, or its file is damaged.
    """
    return _read(folder, EVALUATIONS)


def metric_values(record: Mapping[str, Any]) -> dict[str, float | None]:
    """The plain values of an evaluation record's `metrics`, their intervals left out."""
    return {name: metric["value"] for name, metric in record.get("metrics", {}).items()}


def _check_run(folder: Path) -> None:
    if not (folder / CONFIG).is_file():
        raise RunLogError(f"{folder} is no run folder: it has no {CONFIG}")
    if not is_run(folder):
        raise RunLogError(f"{folder} is no run folder: it has a {CONFIG}, but no {SEAL}")


def _check_sealed(seal: Seal, folder: Path) -> None:
    seal.check_config(folder / CONFIG)
    for name in (METRICS, EVALUATIONS, CHANGES):
        seal.check_log(JsonLines(folder / name))
    for name in seal.folders:
        # A damaged checkpoint is passed over when the run is resumed; a lost rollout is lost.
        if name.startswith(ROLLOUTS):
            seal.check_folder(folder, name)


def _read(folder: Path, name: str) -> list[Record]:
    _check_run(folder)
    with _clear_errors(folder):
        check_run(folder)
        return JsonLines(folder / name).read()


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


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing in a folder while the block runs.

    Raises:
        RunLogError: another process holds it.
    """
    handle = _lock(folder)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(folder: Path) -> int | None:
    if sys.platform == "win32":
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise RunLogError(f"another process is writing the run {folder}; wait for it, or stop it first") from error
    except OSError:
        # Some network file systems have no locks; a run there goes unguarded.
        os.close(handle)
        return None
    return handle


@contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except DamagedFileError as error:
        raise RunLogError(f"the run {folder} is damaged: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunLogError(
                f"the disk is full: {error}. All that was written before stands; free some space, then continue with "
                f"`axpo train --resume {folder}`"
            ) from error
        raise RunLogError(f"cannot use the run folder {folder}: {error}") from error
