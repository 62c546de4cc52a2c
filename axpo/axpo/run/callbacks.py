"""Defines `Callback`, code of a user's own that is called while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axpo.settings.config import TrainConfig
from axpo_agents.transformers_policy import TransformersPolicy


class StopRun(Exception):
    """Raised by a callback to end the run: it is saved and reported like one that made all its steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMoment:
    """What a callback may look at."""

    config: TrainConfig
    """Everything that decides the run's results."""
    folder: Path
    """The run's folder."""
    step: int
    """Finished training steps."""
    policy: TransformersPolicy
    """The policy as it is now. A callback that changes its weights, or torch's random numbers, changes the run."""


class Callback:
    """Is called while a run goes on; override what is wanted.

    A callback may raise `StopRun` to end the run. Any other exception stops it like a fault of its own: what was
    trained is saved, and `resume` goes on from there. A resumed run does not call again for what was done before.
    """

    def after_step(self, moment: RunMoment, record: Mapping[str, Any]) -> None:
        """A step has ended; its record is that of `metrics.jsonl`."""

    def after_evaluation(self, moment: RunMoment, record: Mapping[str, Any]) -> None:
        """An evaluation has ended; its record is that of `evaluations.jsonl`."""

    def after_checkpoint(self, moment: RunMoment, checkpoint: Path) -> None:
        """A checkpoint was written, in Hugging Face layout."""
