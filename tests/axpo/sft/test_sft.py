from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoTokenizer

from axpo.records._checked_json import DamagedFileError
from axpo.records._jsonl import JsonLines
from axpo.settings.config import ConfigError
from axpo.settings.config_file import read_toml
from axpo.settings.sft import LOCATE_AND_READ, SftConfig, StageConfig, TrajectoryConfig
from axpo.sft import _training as training
from axpo.sft._demonstrations import Piece
from axpo.sft._run import run_sft
from axpo.sft._training import learning_rate, weighted_loss


class Recorder:
    def __init__(self) -> None:
        self.steps: list[Mapping[str, Any]] = []
        self.done: list[tuple[int, Mapping[str, Any]]] = []
        self.notes: list[str] = []
        self.shown: list[tuple[int, tuple[tuple[Piece, ...], ...]]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def examples(self, number: int, shown: Sequence[tuple[Piece, ...]]) -> None:
        self.shown.append((number, tuple(shown)))

    def step(self, record: Mapping[str, Any]) -> None:
        self.steps.append(record)

    def stage_done(self, number: int, evaluation: Mapping[str, Any]) -> None:
        self.done.append((number, evaluation))


def small(out: Path, **changes: Any) -> SftConfig:
    stages = (
        StageConfig(lesson=LOCATE_AND_READ, steps=2, batch=3),
        StageConfig(steps=2, batch=4, trajectories=TrajectoryConfig(tool_share=0.5)),
    )
    config = SftConfig(
        env_args=("image_size=128", "sign_size=0.14"),
        out=str(out),
        stages=stages,
        questions_in_memory=6,
        eval_questions=2,
        eval_samples=2,
        max_turn_tokens=24,
        max_episode_tokens=512,
    )
    return dataclasses.replace(config, **changes)


def test_the_learning_rate_warms_up_linearly_and_falls_along_a_cosine() -> None:
    stage = StageConfig(steps=100, lr=1.0, warmup_steps=10, final_lr_share=0.2)
    # Step 5: half of the peak, times 0.2 + 0.8 * (1 + cos(pi * 4 / 100)) / 2.
    assert learning_rate(stage, 5) == pytest.approx(0.5 * (0.2 + 0.8 * 0.9960573506572389))
    assert learning_rate(stage, 51) == pytest.approx(0.2 + 0.8 * 0.5)
    assert learning_rate(stage, 100) == pytest.approx(0.2, abs=1e-3)
    assert learning_rate(dataclasses.replace(stage, warmup_steps=0), 1) == 1.0


def test_the_loss_is_the_weighted_mean_negative_log_probability() -> None:
    logprobs = [torch.tensor([-1.0, -2.0]), torch.tensor([-4.0])]
    weights = [torch.tensor([1.0, 0.5]), torch.tensor([0.25])]
    # (1 * 1 + 0.5 * 2 + 0.25 * 4) / 1.75
    assert float(weighted_loss(logprobs, weights, 1.75)) == pytest.approx(3.0 / 1.75)


def test_a_run_leaves_a_checkpoint_that_plain_transformers_load(tmp_path: Path) -> None:
    display = Recorder()
    result = run_sft(small(tmp_path / "run"), display)
    model = AutoModelForImageTextToText.from_pretrained(result.checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(result.checkpoint)
    assert model.config.model_type == "qwen3_vl"
    assert tokenizer.decode(tokenizer.encode("<answer>7</answer>")) == "<answer>7</answer>"
    assert [(record["stage"], record["step"]) for record in display.steps] == [(1, 2), (2, 2)]
    assert [number for number, _ in display.done] == [1, 2]
    assert result.evaluation["metrics"]["pass1"]["n"] == 2
    shown = json.loads((tmp_path / "run" / "demonstrations" / "stage-2.json").read_text())
    assert len(shown) == 4
    assert all(turn["text"].startswith("<think>") for one in shown for turn in one["turns"])


def test_small_micro_batches_train_as_one_batch_does(tmp_path: Path) -> None:
    weights = []
    for tokens in (16384, 100):
        folder = tmp_path / str(tokens)
        run_sft(small(folder, micro_batch_tokens=tokens, eval_questions=0), Recorder())
        weights.append(load_file(folder / "stage-2" / "model.safetensors"))
    for name, tensor in weights[0].items():
        # Adam's first steps are as large as the learning rate whatever the gradient's size, rounding included.
        assert torch.allclose(tensor, weights[1][name], atol=2e-4), name


def test_a_killed_run_goes_on_behind_its_last_finished_stage_with_the_same_result(tmp_path: Path) -> None:
    config = small(tmp_path / "run", eval_questions=0)
    first = run_sft(config, Recorder())
    expected = (first.checkpoint / "model.safetensors").read_bytes()
    shutil.rmtree(first.checkpoint)
    again = Recorder()
    run_sft(config, again)
    assert {record["stage"] for record in again.steps} == {2}
    assert (first.checkpoint / "model.safetensors").read_bytes() == expected


def test_what_a_killed_run_left_is_cleaned_up_and_its_records_are_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_LOG_SECONDS", float("inf"))
    config = small(tmp_path / "run", eval_questions=0)
    run_sft(config, Recorder())
    shutil.rmtree(tmp_path / "run" / "stage-2")
    (tmp_path / "run" / ".partial-99-stage-2").mkdir()
    (tmp_path / "run" / ".partial-99-config.toml").write_text("se")
    run_sft(config, Recorder())
    assert not list((tmp_path / "run").glob(".partial*"))
    assert [(record["stage"], record["step"]) for record in JsonLines(tmp_path / "run" / "sft.jsonl").read()] == [
        (1, 2),
        (2, 2),
    ]


def test_a_step_that_comes_long_after_the_last_record_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_LOG_SECONDS", 0.0)
    run_sft(small(tmp_path / "run", stages=(StageConfig(steps=3, batch=2),), eval_questions=0), Recorder())
    assert [record["step"] for record in JsonLines(tmp_path / "run" / "sft.jsonl").read()] == [1, 2, 3]


def test_settings_left_by_a_run_that_finished_no_stage_bind_nobody(tmp_path: Path) -> None:
    config = small(tmp_path / "run", stages=(StageConfig(steps=1, batch=2),), eval_questions=0)
    run_sft(config, Recorder())
    shutil.rmtree(tmp_path / "run" / "stage-1")
    other = dataclasses.replace(config, seed=1)
    run_sft(other, Recorder())
    assert read_toml(tmp_path / "run" / "config.toml", SftConfig) == other


def test_a_damaged_stage_is_refused_by_name(tmp_path: Path) -> None:
    config = small(tmp_path / "run", stages=(StageConfig(steps=1, batch=2),), eval_questions=0)
    run_sft(config, Recorder())
    path = tmp_path / "run" / "stage-1" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(DamagedFileError, match=r"stage-1: model\.safetensors is damaged.*Delete the folder"):
        run_sft(config, Recorder())


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path) -> None:
    config = small(tmp_path / "run", stages=(StageConfig(steps=1, batch=2),), eval_questions=0)
    run_sft(config, Recorder())
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        run_sft(dataclasses.replace(config, seed=1), Recorder())
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("mine")
    with pytest.raises(ConfigError, match="expected a new or empty folder"):
        run_sft(small(tmp_path / "notes"), Recorder())


def test_bad_settings_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    stage = StageConfig(trajectories=TrajectoryConfig(tool_share=1.5))
    with pytest.raises(ConfigError, match="tool_share"):
        run_sft(small(tmp_path / "run", stages=(stage,)), Recorder())
    assert not (tmp_path / "run").exists()
