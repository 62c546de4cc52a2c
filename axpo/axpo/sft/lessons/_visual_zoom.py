"""Defines the lessons of VisualZoom by their names."""

from __future__ import annotations

from typing import Final

from axpo.settings.sft import LOCATE_AND_READ, TRAJECTORIES, SftConfig, StageConfig
from axpo.sft._demonstrations import Lesson
from axpo.sft.lessons._locate_and_read import LocateAndRead
from axpo.sft.lessons._trajectories import Trajectories
from axpo_envs.env import ToolEnv
from axpo_envs.suite.visual_zoom.env import VisualZoom

ENV: Final = VisualZoom


def _locate_and_read(env: ToolEnv, stage: StageConfig, config: SftConfig, *, seed: int) -> Lesson:
    assert isinstance(env, VisualZoom)
    return LocateAndRead(env, seed=seed, questions=config.questions_in_memory, uses=stage.question_uses)


def _trajectories(env: ToolEnv, stage: StageConfig, config: SftConfig, *, seed: int) -> Lesson:
    assert isinstance(env, VisualZoom)
    memory, uses = config.questions_in_memory, stage.question_uses
    return Trajectories(env, stage.trajectories, seed=seed, questions=memory, uses=uses)


LESSONS: Final = {LOCATE_AND_READ: _locate_and_read, TRAJECTORIES: _trajectories}
