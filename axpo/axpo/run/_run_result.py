"""Defines `RunResult`: what a run left behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run left behind."""

    folder: Path
    """The run's folder."""
    metrics: tuple[dict[str, Any], ...]
    """One record per step, as in `metrics.jsonl`."""
    evaluations: tuple[dict[str, Any], ...]
    """One record per evaluation on held-out questions, as in `evaluations.jsonl`."""
    checkpoint: Path
    """The trained policy in Hugging Face layout."""
    best_checkpoint: Path | None = None
    """The policy of the evaluation with the highest `log.best_by`; None where none was asked for."""
