"""Defines what a run's folder holds, what kind of folder one is, and who may write in it.

What it holds is sealed (see `axpo.records._seal`); TensorBoard's events and the report are made from it and are not.
"""

from __future__ import annotations

import errno
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from axpo.records._jsonl import DamagedFileError, JsonLines
from axpo.records._seal import SEAL, Seal, read_seal
from axpo_envs.plumbing.whole_files import PARTIAL

if sys.platform != "win32":
    import fcntl

CONFIG: Final = "config.toml"
METRICS: Final = "metrics.jsonl"
EVALUATIONS: Final = "evaluations.jsonl"
CHANGES: Final = "changes.jsonl"
ROLLOUTS: Final = "rollouts"
TENSORBOARD: Final = "tensorboard"
CHECKPOINTS: Final = "checkpoints"
OPTIMIZER: Final = "trainer.safetensors"
PROGRESS: Final = "trainer.json"
MEMORY: Final = "replay.bin"


class RunLogError(Exception):
    """A run folder cannot be made, read or written; the message says which, why, and what to do."""


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
    ours = (PARTIAL, SEAL)
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(ours))


def require_run(folder: Path) -> None:
    """Raises a RunLogError if the folder is not that of a training run."""
    if not (folder / CONFIG).is_file():
        raise RunLogError(f"{folder} is no run folder: it has no {CONFIG}")
    if not is_run(folder):
        raise RunLogError(f"{folder} is no run folder: it has a {CONFIG}, but no {SEAL}")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing in a folder while the block runs.

    Raises:
        RunLogError: another process holds it.
    """
    handle = lock(folder)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def lock(folder: Path) -> int | None:
    """Keeps other processes from writing in a folder until the handle that is returned is closed.

    None where the platform, or the file system, has no locks.

    Raises:
        RunLogError: another process holds it.
    """
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
def clear_errors(folder: Path) -> Iterator[None]:
    """Turns what goes wrong with files of a run into a RunLogError that says what to do."""
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


def _check_sealed(seal: Seal, folder: Path) -> None:
    seal.check_config(folder / CONFIG)
    for name in (METRICS, EVALUATIONS, CHANGES):
        seal.check_log(JsonLines(folder / name))
    for name in seal.folders:
        # A damaged checkpoint is passed over when the run is resumed; a lost rollout is lost.
        if name.startswith(ROLLOUTS):
            seal.check_folder(folder, name)
