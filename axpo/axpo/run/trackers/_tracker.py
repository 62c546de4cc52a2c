"""Defines `Tracker`, what a service must offer to follow runs, and `Tracked`, what it is told of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """A run as trackers know it."""

    name: str
    """The name of its folder."""
    folder: Path
    """Its folder."""
    settings: Mapping[str, Any]
    """Everything that decides its results, by dotted name: text, numbers, truth values, tuples of these, or None."""
    id: str | None
    """What `begin` returned when the run began, where it is resumed."""


@runtime_checkable
class Tracker(Protocol):
    """Follows one run.

    A tracker that raises while the run goes on is not asked again; the run goes on without it.
    """

    def begin(self, run: Tracked) -> str | None:
        """The run begins, or goes on.

        Returns:
            What the run is found by when it is resumed; None where nothing is needed.
        """
        ...

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step, as `train/reward_mean` and `eval/pass1`. A resumed run repeats the steps behind its newest
        checkpoint, with the same numbers."""
        ...

    def end(self, *, finished: bool) -> None:
        """The run has ended: as it was meant to, or before."""
        ...
