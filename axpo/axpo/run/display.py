"""Defines `Display`, what is told of a run while it goes on and shows it, and `Silent`, which shows nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

from axpo.settings.config import TrainConfig


class Display(Protocol):
    """Shows a run. It is told what happened and decides nothing."""

    def start(self, config: TrainConfig, step: int) -> None:
        """The run begins, or goes on behind a step."""
        ...

    def phase(self, name: str) -> None:
        """What the run is busy with from now on."""
        ...

    def step(self, record: Mapping[str, float | int | None]) -> None:
        """A step has ended; its record is that of `metrics.jsonl`."""
        ...

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """An evaluation has ended; its record is that of `evaluations.jsonl`."""
        ...

    def note(self, text: str) -> None:
        """Something a person should know."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Silent:
    """Shows nothing; the base of displays that show something."""

    def start(self, config: TrainConfig, step: int) -> None:
        """Shows nothing."""

    def phase(self, name: str) -> None:
        """Shows nothing."""

    def step(self, record: Mapping[str, float | int | None]) -> None:
        """Shows nothing."""

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Shows nothing."""

    def note(self, text: str) -> None:
        """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


SILENT: Final = Silent()
"""Shows nothing."""
