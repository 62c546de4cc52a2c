"""Defines the lessons of MultiHopSearch by their names."""

from __future__ import annotations

from typing import Final

from axpo.settings.sft import LOOKUPS, SEARCHES, SftConfig, StageConfig
from axpo.sft._demonstrations import Lesson
from axpo.sft.lessons._lookups import Lookups
from axpo.sft.lessons._searches import Searches
from axpo_envs.env import ToolEnv
from axpo_envs.suite.multi_hop_search.env import MultiHopSearch

ENV: Final = MultiHopSearch


def _lookups(env: ToolEnv, stage: StageConfig, config: SftConfig, *, seed: int) -> Lesson:
    del stage, config  # nothing of it is left to them
    assert isinstance(env, MultiHopSearch)
    return Lookups(env, seed=seed)


def _searches(env: ToolEnv, stage: StageConfig, config: SftConfig, *, seed: int) -> Lesson:
    del config  # questions cost next to nothing, so none is used twice
    assert isinstance(env, MultiHopSearch)
    return Searches(env, stage.mixture, seed=seed)


LESSONS: Final = {LOOKUPS: _lookups, SEARCHES: _searches}
