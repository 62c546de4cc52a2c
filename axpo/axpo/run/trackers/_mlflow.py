"""Defines `MlflowTracker`: runs in MLflow, in the experiment `axpo` or the one that `MLFLOW_EXPERIMENT_NAME` names."""

from __future__ import annotations

import importlib
import os
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from axpo.run.trackers._tracker import Tracked

_LONGEST: Final = 500
"""Characters of a setting: what every server takes."""
_REFUSED: Final = re.compile(r"[^\w./: -]")
"""What names of metrics must not hold; those of tools and environments are anybody's."""


class MlflowTracker:
    """Writes by a client of its own: a run of the user's that is active stays that. `MLFLOW_TRACKING_URI` holds.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """

    def __init__(self) -> None:
        self._mlflow: Any = importlib.import_module("mlflow")
        self._client: Any = None
        self._id = ""

    def begin(self, run: Tracked) -> str | None:
        """Begins a run with the settings as its parameters, or goes on with the one of that id."""
        self._client = self._mlflow.MlflowClient()
        if run.id is not None:
            self._id = run.id
            self._client.update_run(self._id, status="RUNNING")
            return self._id
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "axpo")
        known = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if known is None else known.experiment_id
        self._id = str(self._client.create_run(experiment, run_name=run.name).info.run_id)
        param = self._mlflow.entities.Param
        params = [param(key, str(value)[:_LONGEST]) for key, value in run.settings.items() if value is not None]
        self._client.log_batch(self._id, params=params)
        return self._id

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step; those of repeated steps stand there twice."""
        now = int(time.time() * 1000)
        metrics = [
            self._mlflow.entities.Metric(_REFUSED.sub("_", key), value, now, step) for key, value in values.items()
        ]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, *, finished: bool) -> None:
        """Ends the run as finished, or as killed."""
        self._client.set_terminated(self._id, status="FINISHED" if finished else "KILLED")
