"""Defines checkpoints: a folder that is a Hugging Face model and holds what training needs to go on from it.

A checkpoint appears under its name only when every file of it is on the disk. Its manifest holds the hash of each
file, and the run's seal that of the manifest, so that damage done later is noticed before anything is trained on it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from axpo.algorithm.replay import ReplayMemory
from axpo.records import _atomic as atomic
from axpo.records._checked_json import DamagedFileError
from axpo.records._folder import CONFIG, MEMORY, OPTIMIZER, PROGRESS
from axpo.records._manifest import MANIFEST, check_manifest, manifest_hash, write_manifest
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.whole_files import PARTIAL

with requiring("train", "training"):
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

_PREFIX: Final = "step-"
AHEAD: Final = "sampled_ahead.bin"
"""What a checkpoint holds of later steps, in asynchronous training."""


class CheckpointError(Exception):
    """A checkpoint cannot be written or read; the message says which, why, and what to do."""


class SavablePolicy(Protocol):
    """A policy whose weights can be written down."""

    def save(self, folder: Path) -> Any:
        """Writes model, tokenizer and settings in Hugging Face layout."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come, and what it has spent."""

    step: int = 0
    """Finished training steps."""
    rollouts: int = 0
    """Episodes sampled for training, continuations and discarded ones included."""
    tokens: int = 0
    """Tokens sampled for training."""
    trained_tokens: int = 0
    """Tokens that received a gradient."""
    seconds: float = 0.0
    """Wall-clock time of the steps; evaluations and checkpoints are not counted."""

    def after(self, step: int, record: Mapping[str, float | None]) -> Progress:
        """The progress after a step with that record."""
        return Progress(
            step=step,
            rollouts=self.rollouts + int((record["rollouts"] or 0) + (record.get("discarded_rollouts") or 0)),
            tokens=self.tokens + int((record["tokens"] or 0) + (record.get("discarded_tokens") or 0)),
            trained_tokens=self.trained_tokens + int(record["trained_tokens"] or 0),
            seconds=self.seconds + (record["seconds_step"] or 0.0),
        )

    def totals(self) -> dict[str, float]:
        """What was spent so far, by metric name."""
        return {
            "total_rollouts": float(self.rollouts),
            "total_tokens": float(self.tokens),
            "total_trained_tokens": float(self.trained_tokens),
            "total_seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint that was found whole."""

    folder: Path
    """Where it lies; loads like any Hugging Face model."""
    progress: Progress
    """How far the run had come."""

    def sampled_ahead(self) -> bytes | None:
        """What had been sampled for later steps; None in a run that samples none."""
        path = self.folder / AHEAD
        return path.read_bytes() if path.is_file() else None

    def optimizer_state(self) -> dict[str, torch.Tensor]:
        """What `Optimizer.load_state` takes."""
        tensors: dict[str, torch.Tensor] = load_file(self.folder / OPTIMIZER)
        return tensors

    def memory(self) -> ReplayMemory:
        """What the run remembers of the steps before; nothing, where nothing is replayed.

        Raises:
            CheckpointError: it is that of another version.
        """
        file = self.folder / MEMORY
        try:
            return ReplayMemory.from_bytes(file.read_bytes()) if file.exists() else ReplayMemory()
        except ValueError as error:
            raise CheckpointError(f"{file}: cannot be read: {error}") from error


def checkpoint_folder(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of a step lies within a run's `checkpoints` folder."""
    return checkpoints / f"{_PREFIX}{step:06d}"


def checkpoint_folders(checkpoints: Path) -> tuple[Path, ...]:
    """The folders of all checkpoints, oldest first; none are checked."""
    return tuple(reversed(_folders(checkpoints)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointContent:
    """What is written into a checkpoint."""

    policy: SavablePolicy
    """What is trained."""
    optimizer: Mapping[str, torch.Tensor]
    """Its optimizer's state (`Optimizer.state`)."""
    progress: Progress
    """How far the run is."""
    config_toml: str
    """The run's settings."""
    memory: ReplayMemory | None = None
    """What it remembers for replay; None in a run that replays nothing."""
    ahead: bytes | None = None
    """What was sampled for later steps; None in a run that samples none."""


def save_checkpoint(checkpoints: Path, content: CheckpointContent) -> Path:
    """Writes a checkpoint into a run's `checkpoints` folder; it appears whole or not at all.

    Returns:
        Its folder.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; earlier checkpoints are intact.
    """
    target = checkpoint_folder(checkpoints, content.progress.step)
    try:
        _remove_unfinished(checkpoints)
        with atomic.new_folder(target) as folder:
            content.policy.save(folder)
            save_file({name: tensor.contiguous() for name, tensor in content.optimizer.items()}, folder / OPTIMIZER)
            (folder / PROGRESS).write_text(json.dumps(asdict(content.progress)) + "\n", encoding="utf-8")
            (folder / CONFIG).write_text(content.config_toml, encoding="utf-8")
            if content.memory is not None:
                (folder / MEMORY).write_bytes(content.memory.to_bytes())
            if content.ahead is not None:
                (folder / AHEAD).write_bytes(content.ahead)
            write_manifest(folder)
            _flush(folder)
        _flush_entry(checkpoints)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot write the checkpoint {target}: {error}. Earlier checkpoints and records are intact"
        ) from error
    return target


def kept_folders(checkpoints: Path, keep: int, *, spare: int | None = None) -> list[Path]:
    """The folders of the newest checkpoints, newest first, and that of the step to spare."""
    folders = _folders(checkpoints)
    spared = None if spare is None else checkpoint_folder(checkpoints, spare)
    return [folder for place, folder in enumerate(folders) if place < keep or folder == spared]


def prune(checkpoints: Path, kept: Sequence[Path]) -> None:
    """Removes all other checkpoints."""
    for folder in _folders(checkpoints):
        if folder in kept:
            continue
        doomed = folder.with_name(f"{PARTIAL}{folder.name}")
        folder.rename(doomed)
        shutil.rmtree(doomed)


def newest_checkpoint(
    checkpoints: Path, *, warn: Callable[[str], None], sealed: Mapping[str, str] | None = None
) -> Checkpoint | None:
    """The newest checkpoint that is whole.

    Args:
        checkpoints: a run's `checkpoints` folder.
        warn: told about each checkpoint that is damaged or missing and was passed over.
        sealed: checkpoints that must be there: the hash of each one's manifest by the name of its folder.

    Returns:
        None where there is no checkpoint.

    Raises:
        CheckpointError: there are checkpoints, but all of them are damaged.
    """
    problems = []
    sealed = sealed or {}
    missing = [name for name in sorted(sealed, reverse=True) if not (checkpoints / name).is_dir()]
    for folder in _folders(checkpoints):
        while missing and missing[0] > folder.name:
            warn(f"passing over a checkpoint: {checkpoints / missing.pop(0)} is missing")
        try:
            if folder.name in sealed and manifest_hash(folder) not in ("", sealed[folder.name]):
                raise CheckpointError(f"{folder}: {MANIFEST} is not the one that was written")
            return read_checkpoint(folder)
        except CheckpointError as error:
            problems.append(str(error))
            warn(f"passing over a damaged checkpoint: {error}")
    if problems:
        raise CheckpointError(
            f"no checkpoint in {checkpoints} is whole ({'; '.join(problems)}). Without one the run can only be "
            "repeated from its beginning: delete that folder, then resume"
        )
    for name in missing:
        warn(f"{checkpoints / name} is missing: the run begins again")
    return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads a checkpoint after checking every file of it.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    try:
        check_manifest(folder)
        progress = Progress(**json.loads((folder / PROGRESS).read_text(encoding="utf-8")))
    except DamagedFileError as error:
        raise CheckpointError(str(error)) from error
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: {Path(error.filename).name} is missing") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder}: cannot be read: {error}") from error
    if checkpoint_folder(folder.parent, progress.step).name != folder.name:
        raise CheckpointError(f"{folder}: it was written as step {progress.step}; the folder was renamed")
    return Checkpoint(folder=folder, progress=progress)


def _folders(checkpoints: Path) -> list[Path]:
    """The checkpoints' folders, newest first."""
    return sorted(checkpoints.glob(f"{_PREFIX}*"), reverse=True)


def _remove_unfinished(checkpoints: Path) -> None:
    """Removes what killed processes left: unfinished folders have names that begin with a dot."""
    for leftover in checkpoints.glob(".*"):
        shutil.rmtree(leftover)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flush(folder: Path) -> None:
    """Makes every file of a folder durable before the folder gets its name."""
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _flush_entry(folder)


def _flush_entry(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
