"""Defines how the records of a run are read: its steps, its evaluations, and changes of its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axpo.records._folder import CHANGES, EVALUATIONS, METRICS, check_run, clear_errors, require_run
from axpo.records._jsonl import JsonLines, Record


def read_changes(folder: Path) -> list[Record]:
    """How the settings of a run were changed after it had begun: records with `step` and `settings`.

    Raises:
        RunLogError: it is no run folder, or its file is damaged.
    """
    return _read(folder, CHANGES)


def read_steps(folder: Path) -> list[Record]:
    """The step records of a run, oldest first; also while another process is writing it.

    Raises:
        RunLogError: it is no run folder, or its file is damaged.
    """
    return _read(folder, METRICS)


def read_evaluations(folder: Path) -> list[Record]:
    """The evaluation records of a run, oldest first; also while another process is writing it.

    Raises:
        RunLogError: it is no run folder, or its file is damaged.
    """
    return _read(folder, EVALUATIONS)


def metric_values(record: Mapping[str, Any]) -> dict[str, float | None]:
    """The plain values of an evaluation record's `metrics`, their intervals left out."""
    return {name: metric["value"] for name, metric in record.get("metrics", {}).items()}


def _read(folder: Path, name: str) -> list[Record]:
    require_run(folder)
    with clear_errors(folder):
        check_run(folder)
        return JsonLines(folder / name).read()
