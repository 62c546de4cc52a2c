"""Defines `WandbTracker`: runs on Weights & Biases, in the project `axpo` or the one that `WANDB_PROJECT` names."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from axpo.run.trackers._tracker import Tracked


class WandbTracker:
    """Writes to the run that `wandb.init` begins; the package's own variables (`WANDB_MODE`, ...) hold.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """

    def __init__(self) -> None:
        self._wandb: Any = importlib.import_module("wandb")
        self._run: Any = None

    def begin(self, run: Tracked) -> str | None:
        """Begins a run, or goes on with the one of that id."""
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "axpo"),
            name=run.name,
            id=run.id,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.settings),
        )
        return str(self._run.id)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step; those of steps before the newest one that it has are left out by the package."""
        self._run.log(dict(values), step=step)

    def end(self, *, finished: bool) -> None:
        """Finishes the run; one that ended before its time is marked as failed."""
        self._run.finish(exit_code=0 if finished else 1)
