"""Defines `TrackioTracker`: runs in trackio's local dashboard, in the project `axpo` or that of `TRACKIO_PROJECT`."""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import Mapping
from typing import Any

from axpo.run.trackers._tracker import Tracked


class TrackioTracker:
    """Writes to the run that `trackio.init` begins; the package's own variables (`TRACKIO_DIR`, ...) hold.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """

    def __init__(self) -> None:
        self._trackio: Any = importlib.import_module("trackio")
        self._run: Any = None

    def begin(self, run: Tracked) -> str | None:
        """Begins a run, or goes on with the one of that name; names are told apart by a few random characters."""
        name = run.id or f"{run.name}-{secrets.token_hex(3)}"
        self._run = self._trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "axpo"),
            name=name,
            config={key: _plain(value) for key, value in run.settings.items()},
            resume="allow",
            embed=False,
        )
        return name

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step."""
        self._run.log(dict(values), step=step)

    def end(self, *, finished: bool) -> None:
        """Finishes the run; trackio knows no failed ones."""
        del finished
        self._run.finish()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
