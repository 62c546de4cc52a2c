"""Defines `Standings`: rows of finished runs side by side, with means over seeds, spread, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from axpo.compare.finished import FinishedRun, rows_of
from axpo.diagnostics.over_runs import OverRuns, over_runs
from axpo.settings.config import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A row: runs that differ in nothing but their seeds."""

    label: str
    """What people call it."""
    runs: tuple[FinishedRun, ...]
    """Its runs."""
    measures: Mapping[str, OverRuns | None]
    """Measures and costs over its runs; None where nothing was counted."""
    differences: Mapping[str, OverRuns | None]
    """This row minus the first, over the seeds that both have; None where there are none, empty for the first."""
    shared: tuple[int, ...]
    """Those seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """Rows side by side; the first is what the others are compared with."""

    rows: tuple[Standing, ...]
    """The rows."""
    asked: tuple[str, ...]
    """The questions that evaluations asked; more than one means that numbers do not compare."""

    def as_record(self) -> dict[str, Any]:
        """The form in which JSON files hold it."""
        return {
            "rows": {row.label: _row_record(row) for row in self.rows},
            "compared_with": self.rows[0].label,
            "questions": list(self.asked),
        }


def standings(runs: Sequence[FinishedRun]) -> Standings:
    """Puts runs side by side.

    Raises:
        ConfigError: there are none, or two of them have the same settings and seed.
    """
    if not runs:
        raise ConfigError("expected at least one run to compare; got none")
    rows = rows_of(runs)
    first = next(iter(rows.values()))
    return Standings(
        rows=tuple(_standing(label, row, first) for label, row in rows.items()),
        asked=tuple(dict.fromkeys(run.asked for run in runs)),
    )


def _standing(label: str, row: Sequence[FinishedRun], first: Sequence[FinishedRun]) -> Standing:
    names = dict.fromkeys(name for run in (*first, *row) for name in run.outcome.values)
    others = {run.seed: run for run in first} if row is not first else {}
    pairs = [(run, others[run.seed]) for run in row if run.seed in others]
    return Standing(
        label=label,
        runs=tuple(row),
        measures={name: over_runs(_known(name, row)) for name in names},
        differences={name: over_runs(_paired(name, pairs)) for name in names} if row is not first else {},
        shared=tuple(run.seed for run, _ in pairs),
    )


def _known(name: str, runs: Sequence[FinishedRun]) -> list[float]:
    return [value for run in runs if (value := run.outcome.values.get(name)) is not None]


def _paired(name: str, pairs: Sequence[tuple[FinishedRun, FinishedRun]]) -> list[float]:
    values = ((ours.outcome.values.get(name), theirs.outcome.values.get(name)) for ours, theirs in pairs)
    return [ours - theirs for ours, theirs in values if ours is not None and theirs is not None]


def _row_record(row: Standing) -> dict[str, Any]:
    def values(found: Mapping[str, OverRuns | None]) -> dict[str, Any]:
        return {name: None if each is None else each.as_dict() for name, each in found.items()}

    return {
        "runs": [
            {"folder": str(run.folder), "seed": run.seed, "steps": run.steps[-1]["step"], "values": run.outcome.values}
            for run in row.runs
        ],
        "measures": values(row.measures),
        "differences": values(row.differences),
        "shared_seeds": list(row.shared),
    }
