"""Defines `RunRecords`, what a run needs of its folder, and `FollowingLog`, which keeps records without writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from axpo.algorithm.types import Group
from axpo.distributed.ranks import Ranks
from axpo.records._jsonl import Record
from axpo.records.run_log import RunLog
from axpo_envs.tool.protocol import Tool


class RunRecords(Protocol):
    """The records of a run that goes on; see `RunLog`."""

    folder: Path

    def steps(self) -> list[Record]:
        """Every step record, oldest first."""
        ...

    def evaluations(self) -> list[Record]:
        """Every evaluation record, oldest first."""
        ...

    def append_step(self, record: Mapping[str, Any]) -> None:
        """Adds one training step."""
        ...

    def append_evaluation(self, record: Mapping[str, Any]) -> None:
        """Adds one evaluation."""
        ...

    def write_rollouts(self, step: int, groups: Sequence[Group], limit: int, tools: Sequence[Tool] = ()) -> None:
        """Saves rollouts of a step."""
        ...

    def keep_checkpoints(self, folders: Sequence[Path]) -> None:
        """Seals the run's checkpoints."""
        ...


class FollowingLog:
    """The records of a run whose folder another process writes.

    Args:
        folder: the run's folder.
        steps: the records so far.
        evaluations: likewise.
    """

    def __init__(self, folder: Path, steps: Sequence[Record], evaluations: Sequence[Record]) -> None:
        self.folder = folder
        self._steps = list(steps)
        self._evaluations = list(evaluations)

    def steps(self) -> list[Record]:
        """See `RunRecords`."""
        return list(self._steps)

    def evaluations(self) -> list[Record]:
        """See `RunRecords`."""
        return list(self._evaluations)

    def append_step(self, record: Mapping[str, Any]) -> None:
        """See `RunRecords`."""
        self._steps.append(dict(record))

    def append_evaluation(self, record: Mapping[str, Any]) -> None:
        """See `RunRecords`."""
        self._evaluations.append(dict(record))

    def write_rollouts(self, step: int, groups: Sequence[Group], limit: int, tools: Sequence[Tool] = ()) -> None:
        """The first process writes them."""

    def keep_checkpoints(self, folders: Sequence[Path]) -> None:
        """The first process seals them."""


@contextmanager
def opened(ranks: Ranks, make: Callable[[], RunLog]) -> Iterator[RunLog | None]:
    """The log of a run on the first process, open while the block runs; None on the others.

    Raises:
        PeerFailed: the first process could not open it.
    """
    log: list[RunLog] = []
    try:
        ranks.first(lambda: log.append(make()))
        yield log[0] if log else None
    finally:
        for each in log:
            each.close()


def followed(ranks: Ranks, log: RunLog | None, folder: Path) -> RunRecords:
    """The records of a run: those of the log that is open here, or a copy of what the first process has."""
    steps, evaluations = ranks.first(lambda: (log.steps(), log.evaluations()) if log and ranks.count > 1 else ([], []))
    return log or FollowingLog(folder, steps, evaluations)
