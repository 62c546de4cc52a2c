"""Defines what a finished run achieved and cost, and `Comparison`, several such runs side by side, on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError, model_serializer, model_validator

from axpo.records import _atomic as atomic
from axpo.records._checked_json import CHECKSUM, checksum
from axpo.records._folder import RunLogError
from axpo.records._jsonl import Record, finite
from axpo.records._reading import metric_values, read_evaluations, read_steps

COMPARISON: Final = "comparison.json"
DETAILS: Final = "details"
COSTS: Final = ("rollouts", "tokens", "seconds")
"""What an outcome tells of its price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How good a policy is on held-out questions, and what its training cost.

    In files one flat object: the measures by their names, beside `rollouts`, `tokens` and `seconds`.
    """

    measures: Mapping[str, float | None]
    """Every measure of the last evaluation by name; None where nothing was counted."""
    rollouts: float
    """Rollouts sampled in training, continuations included."""
    tokens: float
    """Tokens sampled in training."""
    seconds: float
    """Wall-clock time of the training steps; evaluations and checkpoints are not counted."""

    @property
    def values(self) -> dict[str, float | None]:
        """Measures and costs by name."""
        return {**self.measures, **{name: getattr(self, name) for name in COSTS}}

    @model_serializer
    def _flat(self) -> dict[str, float | None]:
        return self.values

    @model_validator(mode="before")
    @classmethod
    def _of_flat(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "measures" in values:
            return values
        costs = {name: values[name] for name in COSTS if name in values}
        return {"measures": {name: value for name, value in values.items() if name not in COSTS}, **costs}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """One run of a comparison."""

    seed: int
    """The run's seed."""
    folder: str
    """Its run folder, relative to the comparison's."""
    outcome: Outcome
    """What it came to."""
    intervals: Mapping[str, tuple[float, float]]
    """95 % confidence intervals over questions of the outcome's measures, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of a comparison: a method with its runs."""

    name: str
    """The method's name."""
    runs: tuple[RunOutcome, ...]
    """Its runs, one per seed."""

    @property
    def mean(self) -> Outcome:
        """The mean over runs, of each measure over those that have it."""
        means = {name: fmean(known) if known else None for name, known in self._known().items()}
        costs: Any = {name: means.pop(name) for name in COSTS}
        return Outcome(measures=means, **costs)

    @property
    def spread(self) -> dict[str, float | None]:
        """The sample standard deviation over runs; None with fewer than two values."""
        return {name: stdev(known) if len(known) > 1 else None for name, known in self._known().items()}

    def _known(self) -> dict[str, list[float]]:
        """What the runs came to, by measure and cost, in the order of the first run that names it."""
        rows = [run.outcome.values for run in self.runs]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [value for row in rows if (value := row.get(name)) is not None] for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Methods trained from one checkpoint on the same questions."""

    start: RunOutcome | None
    """The checkpoint before training, as the first run evaluated it; None if it was not evaluated."""
    entries: tuple[Entry, ...]
    """The methods, in the order asked for."""
    steps: int
    """Training steps of each run."""
    machine: Mapping[str, str]
    """What the runs were made with: processor, cores, versions."""

    def as_record(self) -> Record:
        """The content of `comparison.json`: the mean outcome of every method by name, all else under `details`."""
        outcomes = {entry.name: entry.mean.values for entry in self.entries}
        spreads = {entry.name: entry.spread for entry in self.entries}
        details = TypeAdapter(Comparison).dump_python(self, mode="json")
        record: Record = finite({**outcomes, DETAILS: {**details, "standard_deviations": spreads}})
        return {**record, DETAILS: {**record[DETAILS], CHECKSUM: checksum(record)}}

    def write(self, folder: Path) -> Path:
        """Writes `comparison.json`.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        path = folder / COMPARISON
        atomic.write_text(path, json.dumps(self.as_record(), indent=2) + "\n")
        return path


def read_comparison(folder: Path) -> Comparison:
    """Reads what `Comparison.write` wrote.

    Raises:
        RunLogError: there is none, or it is damaged.
    """
    path = folder / COMPARISON
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        details = record[DETAILS]
        if details.pop(CHECKSUM, None) != checksum(record):
            raise RunLogError(f"{path} is damaged: its content does not match its {CHECKSUM}")
        return TypeAdapter(Comparison).validate_python({k: v for k, v in details.items() if k != "standard_deviations"})
    except FileNotFoundError as error:
        raise RunLogError(f"{folder} holds no comparison: there is no {COMPARISON}") from error
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise RunLogError(f"{path} is no comparison: {error}") from error


def run_outcome(folder: Path, *, seed: int, relative_to: Path) -> RunOutcome:
    """The outcome of a finished run: its last evaluation, and the sums over its steps.

    Raises:
        RunLogError: it is no run folder, is damaged, or was never evaluated.
    """
    evaluations = read_evaluations(folder)
    if not evaluations:
        raise RunLogError(f"the run {folder} has no evaluation, so there is nothing to compare")
    return RunOutcome(
        seed=seed,
        folder=folder.relative_to(relative_to).as_posix(),
        outcome=outcome_of(evaluations[-1], read_steps(folder)),
        intervals=intervals_of(evaluations[-1]),
    )


def start_outcome(folder: Path, *, seed: int, relative_to: Path) -> RunOutcome | None:
    """What the run's checkpoint achieved before the first step, at no cost; None if it was not evaluated.

    Raises:
        RunLogError: it is no run folder, or is damaged.
    """
    first = next((record for record in read_evaluations(folder) if record["step"] == 0), None)
    if first is None:
        return None
    return RunOutcome(
        seed=seed,
        folder=folder.relative_to(relative_to).as_posix(),
        outcome=outcome_of(first, []),
        intervals=intervals_of(first),
    )


def outcome_of(evaluation: Record, steps: Sequence[Record]) -> Outcome:
    """An evaluation's measures, and the sums of what the steps cost."""
    return Outcome(
        measures=metric_values(evaluation),
        rollouts=sum(record.get("rollouts") or 0.0 for record in steps),
        tokens=sum(record.get("tokens") or 0.0 for record in steps),
        seconds=sum(record.get("seconds_step") or 0.0 for record in steps),
    )


def intervals_of(evaluation: Record) -> dict[str, tuple[float, float]]:
    """The 95 % confidence intervals of an evaluation's measures, where there is one."""
    return {
        name: (metric["low"], metric["high"])
        for name, metric in evaluation["metrics"].items()
        if metric is not None and metric.get("low") is not None and metric.get("high") is not None
    }


def questions_of(evaluation: Mapping[str, Any]) -> str:
    """Which questions an evaluation asked, in words; those of training are not called held-out.

    Worked value: 100 questions of the split `test` give `100 held-out questions (test)`.
    """
    count, split = evaluation["questions"], evaluation.get("split")
    if split in _TRAINED_ON:
        return f"{count} questions ({split})"
    return f"{count} held-out questions" + (f" ({split})" if split else "")


_TRAINED_ON: Final = ("train", "all")
"""Names of splits whose questions may have been trained on."""
