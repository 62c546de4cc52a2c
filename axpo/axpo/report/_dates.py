"""Defines when a run began, as far as its files tell, and how pages write moments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from axpo.records._folder import CHANGES, CONFIG, METRICS
from axpo.records._jsonl import Record


def began(folder: Path, steps: Sequence[Record]) -> datetime | None:
    """When a run began: its settings are written first, its records grow until its last step.

    None where the files' times cannot be those of the run: between both must lie the time that the steps took, which a
    copy does not keep, and settings that were changed later were written later.
    """
    if not steps or (folder / CHANGES).is_file():
        return None
    first, last = ((folder / name).stat().st_mtime for name in (CONFIG, METRICS))
    if last - first < sum(record.get("seconds_step") or 0.0 for record in steps):
        return None
    return datetime.fromtimestamp(first, tz=UTC)


def moment(when: datetime) -> str:
    """A moment to the minute.

    Worked value: `2026-03-01 09:05 UTC`.
    """
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
