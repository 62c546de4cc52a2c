"""Defines `CASES`, the short runs of which `axpo-bench plan` holds predictions against what they take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from axpo.settings.config import LossConfig, SamplingConfig, SelectionConfig, TrainConfig

_PILOT_QUESTIONS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run that is predicted."""

    name: str
    """What it is called."""
    config: TrainConfig
    """Its settings; `model` is filled in where it is a random one."""
    pilot: SamplingConfig
    """Sizes of the steps that tell what episodes are like."""
    random_model: bool = False
    """Whether a small random Qwen3-VL is made for it."""


def _case(name: str, config: TrainConfig, *, random_model: bool = False) -> Case:
    # Groups of other sizes would be unanimous more, or less, often.
    pilot = replace(config.sampling, questions=_PILOT_QUESTIONS)
    return Case(name=name, config=config, pilot=pilot, random_model=random_model)


CASES: Final = {
    case.name: case
    for case in (
        _case("tiny", TrainConfig(env_args=("guess_rate=0.6",))),
        _case(
            "tiny-python",
            TrainConfig(
                env="axpo/PythonReasoning-v0",
                env_args=("source=written", "python=expressions", "guess_rate=0.6"),
                model="tiny-python",
                sampling=SamplingConfig(questions=16, group_size=8, max_turn_tokens=32, max_episode_tokens=200),
            ),
        ),
        _case(
            "tiny-desk",
            TrainConfig(
                env="axpo/Desk-v0",
                env_args=("desk=brief", "guess_rate=0.6"),
                model="tiny-desk",
                sampling=SamplingConfig(questions=16, group_size=8, max_turn_tokens=32, max_episode_tokens=200),
            ),
        ),
        _case(
            "small random Qwen3-VL",
            TrainConfig(
                env_args=("guess_rate=0.6",),
                sampling=SamplingConfig(questions=16, group_size=8, max_turn_tokens=24, max_episode_tokens=1024),
                selection=SelectionConfig(budget=0.0),
                method="grpo",
                # Rewards of a random model are all alike: else nothing would be trained.
                loss=LossConfig(skip_zero_advantage=False),
            ),
            random_model=True,
        ),
    )
}
"""What is predicted."""
