from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import axpo
from axpo.checkpoint_evaluation import checkpoints_of, locate_checkpoint
from axpo.records.run_log import RunLogError
from axpo.run._checkpoint import CheckpointError
from axpo.run.display import Silent
from axpo.settings._evaluation import EvalConfig
from axpo.settings.config import ConfigError
from axpo.settings.config_file import to_toml
from axpo.settings.model import ModelConfig
from axpo.settings.sft import RECORDED, SftConfig


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    toy = __import__("toy_env")
    monkeypatch.undo()
    config = toy.toy_config(tmp_path_factory.mktemp("trained") / "run", steps=2, env_args=("size=5",))
    limits = replace(config.sampling, max_turn_tokens=9, max_episode_tokens=700, temperature=0.5)
    config = replace(config, sampling=limits, success_threshold=0.75)
    config = replace(config, policy=replace(config.policy, template_options=("message=false", "part=2")))
    return axpo.train(config, display=Silent()).folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return shutil.copytree(trained, tmp_path / "run")


def located(checkpoint: Path, **settings: Any) -> EvalConfig:
    return locate_checkpoint(EvalConfig(checkpoint=str(checkpoint), **settings), warn=pytest.fail)


@pytest.mark.parametrize("place", [".", "checkpoints/step-000002"])
def test_a_run_brings_environment_and_limits_along(run: Path, place: str) -> None:
    found = located(run / place)
    assert found.checkpoint == str(run / "checkpoints" / "step-000002")
    assert (found.env, found.env_args) == ("toy/Checksum-v0", ("size=5",))
    assert (found.max_turn_tokens, found.max_episode_tokens, found.temperature) == (9, 700, 0.5)
    assert found.success_threshold == 0.75
    assert found.policy.template_options == ("message=false", "part=2")


def test_a_server_of_a_runs_checkpoint_is_asked_as_the_checkpoint_would_be(run: Path) -> None:
    settings = EvalConfig(
        checkpoint="http://127.0.0.1:9", tokenizer=str(run / "checkpoints" / "step-000002"), env="toy/Checksum-v0"
    )
    found = locate_checkpoint(settings, warn=pytest.fail)
    assert (found.checkpoint, found.max_turn_tokens, found.temperature) == ("http://127.0.0.1:9", 9, 0.5)
    assert found.policy.template_options == ("message=false", "part=2")


def test_names_beside_a_supervised_run_are_none_of_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text(to_toml(SftConfig(max_turn_tokens=33)))
    monkeypatch.chdir(tmp_path)
    assert located(Path("tiny"), env="toy/Checksum-v0").max_turn_tokens != 33


def test_a_run_names_the_checkpoints_that_it_kept(run: Path) -> None:
    last = run / "checkpoints" / "step-000002"
    shutil.copytree(last, last.with_name("step-000001"))
    assert checkpoints_of(run) == (str(last.with_name("step-000001")), str(last))
    with pytest.raises(ConfigError, match="expected the folder of a training run with checkpoints"):
        checkpoints_of(last)


def test_what_is_given_comes_first(run: Path) -> None:
    found = located(run, max_turn_tokens=30, temperature=0.0, success_threshold=0.0, env_args=("size=3",))
    assert (found.max_turn_tokens, found.max_episode_tokens, found.temperature) == (30, 700, 0.0)
    assert (found.success_threshold, found.env_args) == (0.0, ("size=3",))


def test_template_options_that_are_given_replace_those_of_their_names(run: Path) -> None:
    found = located(run, policy=ModelConfig(template_options=("part=3", "tone=dry")))
    assert found.policy.template_options == ("message=false", "part=3", "tone=dry")


def test_other_checkpoints_have_the_defaults_of_runs() -> None:
    found = locate_checkpoint(EvalConfig(checkpoint="tiny-random", env="toy/Checksum-v0"), warn=pytest.fail)
    assert (found.max_turn_tokens, found.max_episode_tokens) == (1024, 16384)
    assert (found.temperature, found.success_threshold) == (1.0, 0.5)


def test_a_damaged_checkpoint_is_not_evaluated(run: Path) -> None:
    checkpoint = run / "checkpoints" / "step-000002"
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        located(checkpoint)
    (checkpoint / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json is missing"):
        located(checkpoint)


def test_a_run_with_damaged_records_is_not_evaluated(run: Path) -> None:
    (run / "metrics.jsonl").unlink()
    with pytest.raises(RunLogError, match=r"metrics\.jsonl is missing"):
        located(run)


def test_a_supervised_run_stands_for_its_last_stage(tmp_path: Path, run: Path) -> None:
    config = SftConfig(env="toy/Checksum-v0", env_args=("size=4",), max_turn_tokens=33)
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "config.toml").write_text(to_toml(config))
    with pytest.raises(ConfigError, match="has finished no stage yet"):
        located(tmp_path / "sft")
    for stage in ("stage-2", "stage-10"):
        shutil.copytree(run / "checkpoints" / "step-000002", tmp_path / "sft" / stage)
        for name in ("trainer.json", "trainer.safetensors", "manifest.json", "config.toml"):
            (tmp_path / "sft" / stage / name).unlink()
    found = located(tmp_path / "sft")
    assert found.checkpoint == str(tmp_path / "sft" / "stage-10")
    assert (found.env, found.env_args, found.max_turn_tokens) == ("toy/Checksum-v0", ("size=4",), 33)
    earlier = located(tmp_path / "sft" / "stage-2")
    assert earlier.checkpoint == str(tmp_path / "sft" / "stage-2")
    assert (earlier.env, earlier.env_args, earlier.max_turn_tokens) == ("toy/Checksum-v0", ("size=4",), 33)
    (tmp_path / "sft" / "config.toml").write_text(to_toml(replace(config, env=RECORDED)))
    with pytest.raises(ConfigError, match="was taught without an environment, so it takes --env"):
        located(tmp_path / "sft")
