"""Defines `rollout_demonstrations`: the rollouts that a run saved, as demonstrations."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from axpo.records._folder import CONFIG
from axpo.records._rollout_log import ROLLOUTS_FILE, read_rollouts, saved_steps
from axpo.records.rollout_record import RolloutRecord
from axpo.run._env_making import make_env
from axpo.settings._arguments import parse_env_args
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import read_toml
from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Stretch
from axpo_envs.env import ToolEnv

_FOLDER: Final = "rollouts"


class _Saved(NamedTuple):
    """Where rollouts lie."""

    folder: Path
    """The run's `rollouts` folder."""
    steps: tuple[int, ...]
    """The steps to read."""


def is_rollouts(path: Path) -> bool:
    """Whether a path is that of a run, of its `rollouts` folder, or of a file of rollouts."""
    return path.name == ROLLOUTS_FILE or bool(saved_steps(path)) or bool(saved_steps(path / _FOLDER))


def rollout_demonstrations(path: Path, env: ToolEnv | None, *, min_reward: float) -> list[Demonstration]:
    """Reads the rollouts that earned at least a reward; each is an episode, continuations of branches included.

    Args:
        path: a run's folder, its `rollouts` folder, or the file of one step.
        env: the environment they are shown with; None makes the one that the run names.
        min_reward: those with less are left out.

    Raises:
        ConfigError: the run's environment cannot be made.
        DamagedFileError: a file does not hold what was saved.
    """
    saved = _locate(path)
    env = _own_env(saved.folder.parent) if env is None else env
    return [
        _demonstration(rollout, env)
        for step in saved.steps
        for rollout in read_rollouts(saved.folder, step)
        if rollout.reward >= min_reward
    ]


def _locate(path: Path) -> _Saved:
    if path.name == ROLLOUTS_FILE:
        step = path.absolute().parent
        return _Saved(step.parent, tuple(number for number in saved_steps(step.parent) if _names(step, number)))
    folder = path if saved_steps(path) else path / _FOLDER
    return _Saved(folder.absolute(), saved_steps(folder))


def _names(step: Path, number: int) -> bool:
    return int(step.name.removeprefix("step-")) == number


def _own_env(run: Path) -> ToolEnv:
    file = run / CONFIG
    if not file.is_file():
        raise ConfigError(f"env: expected the environment of these rollouts; there is no {file} to say which it was")
    config = read_toml(file, TrainConfig)
    return make_env(config.env, parse_env_args(config.env_args))


def _demonstration(record: RolloutRecord, env: ToolEnv) -> Demonstration:
    turns = (
        DemonstratedTurn(stretches=(Stretch(text=turn.text),), observation=turn.observation) for turn in record.turns
    )
    return Demonstration(env=env, start=env.begin(record.question), turns=tuple(turns))
