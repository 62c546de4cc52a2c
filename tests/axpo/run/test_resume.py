from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import axpo
from axpo.records._folder import RunLogError
from axpo.records._jsonl import JsonLines
from axpo.records._seal import read_seal, text_hash
from axpo.run._checkpoint import CheckpointError
from axpo.run.display import Silent
from axpo.run.trainer import RunResult
from axpo.settings.config import ConfigError
from axpo.settings.config_file import to_toml

STEPS = 8
LOG = {"checkpoint_every": 2, "keep_checkpoints": 2, "eval_questions": 2, "eval_every": 3, "rollouts_every": 3}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    # Subprocesses look there for the module, too.
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    return __import__("toy_env")


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def records(result: RunResult, toy: Any) -> tuple[list[Any], list[Any]]:
    return toy.timeless(result.metrics), toy.timeless(result.evaluations)


def weights(result: RunResult) -> bytes:
    return (result.checkpoint / "model.safetensors").read_bytes()


def run_until(condition: Callable[[], bool], *arguments: str, cwd: Path) -> None:
    """Runs `axpo train` and kills it without warning as soon as the condition holds."""
    command = [sys.executable, "-m", "axpo.cli", "train", *arguments]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None and not condition():
            time.sleep(0.002)
        process.kill()
        output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output


def test_a_run_killed_at_random_repeats_an_uninterrupted_one_bit_for_bit(toy, tmp_path):
    """Killed in some early step, then while a checkpoint is being written."""
    straight = axpo.train(toy.toy_config(tmp_path / "straight", steps=STEPS, log=LOG), display=Silent())
    run = tmp_path / "run"
    config = toy.toy_config(run, steps=STEPS, log=LOG, env=f"toy_env:{toy.ENV_ID}")
    (tmp_path / "config.toml").write_text(to_toml(config), encoding="utf-8")
    rng = random.Random(0)
    wanted = rng.randint(2, 3)

    def reached() -> bool:
        metrics = run / "metrics.jsonl"
        if not metrics.exists() or metrics.read_bytes().count(b"\n") < wanted:
            return False
        time.sleep(rng.uniform(0, 0.1))
        return True

    def saving() -> bool:
        return any((run / "checkpoints").glob(".*")) and rng.random() < 0.5

    run_until(reached, "--config", str(tmp_path / "config.toml"), cwd=tmp_path)
    run_until(saving, "--resume", str(run), cwd=tmp_path)
    resumed = axpo.resume(run, display=Silent())
    assert records(resumed, toy) == records(straight, toy)
    assert weights(resumed) == weights(straight)
    assert not list((run / "checkpoints").glob(".*"))
    assert sorted(path.name for path in (run / "rollouts").iterdir()) == ["step-000003", "step-000006"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    toy = __import__("toy_env")
    sys.path.pop(0)
    out = tmp_path_factory.mktemp("original") / "run"
    return axpo.train(toy.toy_config(out, steps=4, log=LOG), display=Silent())


@pytest.fixture
def finished(original: RunResult, tmp_path: Path) -> RunResult:
    """A copy of a finished run, to be damaged."""
    folder = shutil.copytree(original.folder, tmp_path / "run")
    return replace(original, folder=folder, checkpoint=folder / "checkpoints" / original.checkpoint.name)


def damage_weights(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def truncate_optimizer(checkpoint: Path) -> None:
    path = checkpoint / "trainer.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def remove_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").unlink()


def remove_tokenizer(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()


DAMAGES = (damage_weights, truncate_optimizer, remove_manifest, remove_tokenizer)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(toy, finished, damage):
    damage(finished.checkpoint)
    display = Notes()
    resumed = axpo.resume(finished.folder, display=display)
    assert any("passing over a damaged checkpoint" in note and "step-000004" in note for note in display.notes)
    assert records(resumed, toy) == records(finished, toy)


def test_without_a_whole_checkpoint_the_message_says_what_to_do(finished):
    for checkpoint in (finished.folder / "checkpoints").iterdir():
        damage_weights(checkpoint)
    before = (finished.folder / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole .*delete that folder, then resume"):
        axpo.resume(finished.folder, display=Silent())
    assert (finished.folder / "metrics.jsonl").read_bytes() == before


def test_a_run_without_checkpoints_begins_again(toy, finished):
    shutil.rmtree(finished.folder / "checkpoints")
    resumed = axpo.resume(finished.folder, display=Silent())
    assert records(resumed, toy) == records(finished, toy)


def test_a_finished_run_stays_as_it_is(toy, finished):
    before = (finished.folder / "metrics.jsonl").read_bytes()
    assert records(axpo.resume(finished.folder, display=Silent()), toy) == records(finished, toy)
    assert (finished.folder / "metrics.jsonl").read_bytes() == before


def test_a_run_may_have_moved(toy, finished, tmp_path):
    shutil.rmtree(finished.checkpoint)
    moved = finished.folder.rename(tmp_path / "moved")
    resumed = axpo.resume(moved, display=Silent())
    assert resumed.checkpoint.is_relative_to(moved)
    assert records(resumed, toy) == records(finished, toy)
    assert not (tmp_path / "run").exists()


def test_a_run_of_an_older_version_goes_on_with_defaults_for_what_that_did_not_know(toy, tmp_path):
    run = axpo.train(toy.toy_config(tmp_path / "run", steps=2, log=LOG)).folder
    settings = run / "config.toml"
    text = settings.read_text(encoding="utf-8")
    older = text[: text.index("[ranks]")] + text[text.index("[log]") :]
    settings.write_text(older, encoding="utf-8")
    replace(read_seal(run), config=(text_hash(older.encode()),)).write(run)
    notes = Notes()
    resumed = axpo.resume(run, changes={"steps": 4}, display=notes)
    straight = axpo.train(toy.toy_config(tmp_path / "straight", steps=4, log=LOG))
    assert toy.timeless(resumed.metrics) == toy.timeless(straight.metrics)
    assert weights(resumed) == weights(straight)
    assert settings.read_text(encoding="utf-8") == text.replace("steps = 2", "steps = 4", 1)
    change = JsonLines(run / "changes.jsonl").read()[0]["settings"]
    assert change["ranks.strategy"] == {"before": None, "after": "ddp"}
    assert any("of another version of axpo" in note and "(ranks, ray)" in note for note in notes.notes)


def test_only_a_run_can_be_resumed(tmp_path):
    with pytest.raises(ConfigError, match=r"resume: .* is not a run folder: it has no config\.toml"):
        axpo.resume(tmp_path)
    (tmp_path / "config.toml").write_text("steps = 3\n", encoding="utf-8")
    with pytest.raises(RunLogError):
        axpo.resume(tmp_path)
