"""Defines the lessons of Desk by their names."""

from __future__ import annotations

from typing import Final

from axpo.settings.config import ConfigError
from axpo.settings.sft import DESK_WORK, SftConfig, StageConfig
from axpo.sft._demonstrations import Lesson
from axpo.sft.lessons._desk_work import DeskWork
from axpo_envs.env import ToolEnv
from axpo_envs.suite.desk.env import Desk
from axpo_envs.suite.desk.settings import DeskSize

ENV: Final = Desk


def _desk_work(env: ToolEnv, stage: StageConfig, config: SftConfig, *, seed: int) -> Lesson:
    assert isinstance(env, Desk)
    if env.settings.desk != DeskSize.BRIEF:
        raise ConfigError(f"env_args: the lesson {DESK_WORK} is of a brief desk: expected desk=brief in {config.env}")
    return DeskWork(env, stage.mixture, seed=seed)


LESSONS: Final = {DESK_WORK: _desk_work}
