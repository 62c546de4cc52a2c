"""Defines `Job`, a cell with what its process must know besides, and the files of the cell's folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from axpo.settings.values import NonNegative
from axpo_benchmarks.evidence.cells import Cell
from axpo_envs.plumbing.whole_files import write_whole

JOB: Final = "job.json"
RUN: Final = "run"
EARLIER: Final = "earlier"
"""The folder of the run that a cell's own comes after, where no other cell has made it."""
CPU: Final = "cpu.jsonl"
EVALUATIONS: Final = "evaluations"
TRAINED: Final = "trained.json"
COMMITS: Final = "commits.txt"
ROW: Final = "row.json"
PROBE: Final = "probe.json"
LOG: Final = "log.txt"

END: Final = "end"
"""The evaluation after the last step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A cell, as its process is told of it."""

    cell: Cell
    """What is run."""
    identity: str
    """What tells it apart; its folder's name."""
    command: str
    """The command that asked for it."""
    workers: int
    """How many cells ran side by side."""
    until: dict[str, NonNegative] = field(default_factory=dict)
    """What training may spend: `rollouts`, `tokens`, `cpu_seconds`. The policy is evaluated where each is first spent,
    as `equal_rollouts` and so on, and training ends where all are; empty for the cell's steps."""
    begun: Path | None = None
    """The folder of another cell with the first steps of this very run, or with the run that this one comes after."""


_JOBS: Final = TypeAdapter(Job)


def write_job(job: Job, folder: Path) -> None:
    """Writes what `read_job` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / JOB, _JOBS.dump_json(job, indent=1) + b"\n")


def read_job(folder: Path) -> Job:
    """The job of a cell's folder."""
    return _JOBS.validate_json((folder / JOB).read_bytes())
