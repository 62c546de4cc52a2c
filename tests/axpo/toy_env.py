"""A small environment whose rewards look random but are a function of what was written, and short runs in it.

Importing this module registers the environment.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from axpo.settings.config import LogConfig, SamplingConfig, TrainConfig
from axpo_envs import EpisodeState, ListQuestions, Question, RewardTerm, ToolEnv, ToolEnvSpec
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.tools import tool

# Test processes share few cores, and threads that wait for each other are ten times slower than none.
torch.set_num_threads(1)

ENV_ID = "toy/Checksum-v0"


@tool
def double(number: int) -> str:
    """Doubles a number.

    Args:
        number: what is doubled.
    """
    return str(2 * number)


class ChecksumReward:
    """1 for about a third of all last turns, whether they answer or not."""

    def __call__(self, question: Question, answer: str | None, state: EpisodeState) -> tuple[RewardTerm, ...]:
        checksum = zlib.crc32(f"{question.id} {state.turns[-1].text}".encode())
        return (RewardTerm(name="checksum", value=float(checksum % 3 == 0)),)


class ChecksumEnv(ToolEnv):
    """Asks a finite number of questions, each with a picture."""

    def __init__(
        self, *, size: int = 8, pictures: bool = True, split: str = "train", render_mode: str | None = None
    ) -> None:
        if size < 1:
            raise EnvConfigError(f"size must be at least 1; got {size}")
        questions = ListQuestions(
            Question(
                id=f"{split}-{index}",
                prompt=(*((_picture(index, split),) if pictures else ()), "What is written on the red sign?"),
                answer=str(index),
            )
            for index in range(size)
        )
        spec = ToolEnvSpec(env_id=ENV_ID, questions=questions, tools=(double,), reward=ChecksumReward())
        super().__init__(spec, render_mode=render_mode)


class OtherEnv(gymnasium.Env[Any, Any]):
    """An environment without tools."""


def toy_config(out: Path, *, steps: int = 3, log: dict[str, Any] | None = None, **settings: Any) -> TrainConfig:
    """A run of a few tenths of a second. Random weights call the tool in some tenth of their rollouts; with this seed
    the first step has a triggered group already."""
    base = TrainConfig(
        env=ENV_ID,
        model="tiny-random",
        steps=steps,
        seed=0,
        out=str(out),
        sampling=SamplingConfig(questions=4, group_size=4, max_turn_tokens=12),
        log=LogConfig(checkpoint_every=100, rollouts_every=0, tensorboard=False, eval_questions=0, eval_samples=4),
    )
    return replace(base, log=replace(base.log, **(log or {})), **settings)


def timeless(records: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Records without what the clock decides."""
    return [{name: value for name, value in record.items() if "seconds" not in name} for record in records]


def _picture(index: int, split: str) -> ImageRef:
    pixels = np.full((64, 64, 3), 20 * index % 256, dtype=np.uint8)
    # Every split asks about pictures of its own.
    pixels[0, 0, 0] ^= zlib.crc32(split.encode()) % 256 if split != "train" else 0
    return ImageRef(pixels)


for env_id, entry_point in ((ENV_ID, ChecksumEnv), ("toy/Other-v0", OtherEnv)):
    if env_id not in gymnasium.registry:
        gymnasium.register(env_id, entry_point=entry_point)
