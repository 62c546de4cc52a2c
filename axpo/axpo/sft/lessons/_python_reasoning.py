"""Defines the lessons of PythonReasoning by their names."""

from __future__ import annotations

from typing import Final

from axpo.settings.sft import COMPUTATIONS, SftConfig, StageConfig
from axpo.sft._demonstrations import Lesson
from axpo.sft.lessons._computations import Computations
from axpo_envs.env import ToolEnv
from axpo_envs.suite.python_reasoning.env import PythonReasoning

ENV: Final = PythonReasoning


def _computations(env: ToolEnv, stage: StageConfig, config: SftConfig, *, seed: int) -> Lesson:
    del config  # questions cost next to nothing, so none is used twice
    assert isinstance(env, PythonReasoning)
    return Computations(env, stage.mixture, seed=seed)


LESSONS: Final = {COMPUTATIONS: _computations}
