from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from axpo.algorithm.optimizer import Optimizer
from axpo.records._manifest import manifest_hash
from axpo.run._checkpoint import (
    CheckpointContent,
    CheckpointError,
    Progress,
    checkpoint_folder,
    kept_folders,
    newest_checkpoint,
    prune,
    read_checkpoint,
    save_checkpoint,
)
from axpo.settings.config import OptimConfig

PROGRESS = Progress(step=10, rollouts=1600, tokens=70_000, trained_tokens=9_000, seconds=12.5)


class Weights:
    """A policy whose checkpoint is one file."""

    def __init__(self, fault: OSError | None = None, content: bytes = b"weights") -> None:
        self.fault = fault
        self.content = content

    def save(self, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(self.content)
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def optimizer() -> Optimizer:
    weight = torch.nn.Parameter(torch.ones(3))
    made = Optimizer([weight], OptimConfig(lr=0.1))
    weight.grad = torch.arange(3.0)
    made.step()
    return made


def save(checkpoints: Path, optimizer: Optimizer, step: int, policy: Weights | None = None) -> Path:
    content = CheckpointContent(
        policy=policy or Weights(),
        optimizer=optimizer.state(),
        progress=replace(PROGRESS, step=step),
        config_toml="seed = 0\n",
    )
    return save_checkpoint(checkpoints, content)


def test_reads_back_what_was_saved(tmp_path, optimizer):
    folder = save(tmp_path, optimizer, 10)
    assert folder == checkpoint_folder(tmp_path, 10)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.progress == PROGRESS
    assert (folder / "config.toml").read_text() == "seed = 0\n"
    saved, state = checkpoint.optimizer_state(), optimizer.state()
    assert set(saved) == set(state)
    assert all(torch.equal(saved[name], state[name]) for name in state)


def test_the_newest_whole_one_is_found_and_damage_is_told(tmp_path, optimizer):
    warnings: list[str] = []
    assert newest_checkpoint(tmp_path, warn=warnings.append) is None
    folders = [save(tmp_path, optimizer, step) for step in (2, 10, 6)]
    assert newest_checkpoint(tmp_path, warn=warnings.append).folder == folders[1]
    assert warnings == []
    (folders[1] / "model.safetensors").write_bytes(b"weighty")
    assert newest_checkpoint(tmp_path, warn=warnings.append).folder == folders[2]
    assert warnings == [
        f"passing over a damaged checkpoint: {folders[1]}: model.safetensors is damaged: its content does not match "
        "manifest.json"
    ]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("model.safetensors", None, "model.safetensors is missing"),
        ("manifest.json", None, "manifest.json is missing"),
        ("manifest.json", "{", "cannot be read"),
        ("manifest.json", "[]", "cannot be read"),
        ("trainer.json", "{}", "trainer.json is damaged"),
    ],
)
def test_every_damage_is_one_clear_error(tmp_path, optimizer, name, content, problem):
    folder = save(tmp_path, optimizer, 1)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match=problem):
        read_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole"):
        newest_checkpoint(tmp_path, warn=lambda text: None)


def test_a_flipped_bit_of_any_file_is_found(tmp_path, optimizer):
    folder = save(tmp_path, optimizer, 1)
    rng = random.Random(0)
    for path in folder.iterdir():
        whole = path.read_bytes()
        for bit in rng.sample(range(8 * len(whole)), min(40, 8 * len(whole))):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=path.name):
                read_checkpoint(folder)
        path.write_bytes(whole)
    read_checkpoint(folder)


@pytest.mark.parametrize("text", ["{}", '{"files": {}}', '{"checksum": "0", "files": {}}', '{"model.safetensors": ""}'])
def test_a_manifest_that_lists_less_is_no_manifest(tmp_path, optimizer, text):
    folder = save(tmp_path, optimizer, 1)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        read_checkpoint(folder)


def test_what_was_added_or_renamed_is_found(tmp_path, optimizer):
    folder = save(tmp_path, optimizer, 1)
    (folder / ".DS_Store").touch()
    read_checkpoint(folder)
    (folder / "generation_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"generation_config\.json was added"):
        read_checkpoint(folder)
    (folder / "generation_config.json").unlink()
    with pytest.raises(CheckpointError, match="written as step 1; the folder was renamed"):
        read_checkpoint(folder.rename(tmp_path / "step-000009"))


def test_a_checkpoint_that_must_be_there_is_missed(tmp_path, optimizer):
    folders = {step: save(tmp_path, optimizer, step) for step in (1, 2, 3)}
    sealed = {folder.name: manifest_hash(folder) for folder in folders.values()}
    shutil.rmtree(folders[3])
    save(tmp_path, optimizer, 2, Weights(content=b"others"))
    warnings: list[str] = []
    assert newest_checkpoint(tmp_path, warn=warnings.append, sealed=sealed).folder == folders[1]
    assert warnings == [
        f"passing over a checkpoint: {folders[3]} is missing",
        f"passing over a damaged checkpoint: {folders[2]}: manifest.json is not the one that was written",
    ]


def test_a_checkpoint_that_cannot_be_written_leaves_nothing_behind(tmp_path, optimizer):
    before = save(tmp_path, optimizer, 1)
    full = Weights(OSError(28, "No space left on device"))
    with pytest.raises(CheckpointError, match=r"step-000002: .*No space left on device.*Earlier checkpoints .* intact"):
        save(tmp_path, optimizer, 2, full)
    assert list(tmp_path.iterdir()) == [before]
    read_checkpoint(before)


def test_what_killed_processes_left_is_removed_and_never_read(tmp_path, optimizer):
    for leftover in (".partial-99-step-000009", "..partial-99-step-000009-x"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "model.safetensors").write_bytes(b"half")
    assert newest_checkpoint(tmp_path, warn=pytest.fail) is None
    assert list(tmp_path.iterdir()) != []
    folder = save(tmp_path, optimizer, 1)
    assert list(tmp_path.iterdir()) == [folder]


def test_saving_a_step_again_replaces_its_checkpoint(tmp_path, optimizer):
    folder = save(tmp_path, optimizer, 1)
    (folder / "model.safetensors").write_bytes(b"damage")
    assert save(tmp_path, optimizer, 1) == folder
    read_checkpoint(folder)


def test_every_file_is_on_the_disk_before_the_checkpoint_has_its_name(tmp_path, optimizer, monkeypatch):
    synced: list[int] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    def check_rename(folder: Path, target: Path) -> Path:
        written = {path.name: path.stat().st_ino for path in (folder, *folder.iterdir())}
        assert {"model.safetensors", "trainer.safetensors", "manifest.json"} <= set(written)
        assert set(written.values()) <= set(synced)
        return rename(folder, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", check_rename)
    save(tmp_path / "checkpoints", optimizer, 1)
    assert synced[-1] == (tmp_path / "checkpoints").stat().st_ino


def test_only_the_newest_are_kept(tmp_path, optimizer):
    for step in (1, 2, 3, 4):
        save(tmp_path, optimizer, step)
    prune(tmp_path, kept_folders(tmp_path, 2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003", "step-000004"]


def test_progress_adds_up():
    record = {"rollouts": 20.0, "tokens": 300.0, "trained_tokens": None, "seconds_step": 0.5}
    progress = Progress().after(1, record).after(2, record)
    assert progress == Progress(step=2, rollouts=40, tokens=600, trained_tokens=0, seconds=1.0)
    assert progress.totals() == {
        "total_rollouts": 40.0,
        "total_tokens": 600.0,
        "total_trained_tokens": 0.0,
        "total_seconds": 1.0,
    }
