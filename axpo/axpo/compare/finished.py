"""Defines `finished_runs`: runs that are over, read from their folders, whatever started them; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from axpo.algorithm.methods import label_of
from axpo.records._folder import is_run
from axpo.records._jsonl import Record
from axpo.records._reading import read_evaluations, read_steps
from axpo.records.outcomes import COMPARISON, Outcome, intervals_of, outcome_of, questions_of, read_comparison
from axpo.report._run_settings import Settings
from axpo.settings.config import ConfigError
from axpo.settings.config_file import dotted

_APART: Final = (
    "seed",
    "out",
    "audit_log",
    "policy.device",
    "policy.gradient_checkpointing",
    "policy.packing",
    "optim.micro_batch_tokens",
    "serving.folder",
    "serving.key_variable",
    "serving.timeout_s",
    "serving.attempts",
    "serving.concurrency",
)
_SECTIONS_APART: Final = ("log.", "ranks.", "ray.")
_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run that is over."""

    folder: Path
    """Where it is."""
    settings: Settings
    """What it was told."""
    steps: tuple[Record, ...]
    """Its step records."""
    outcome: Outcome
    """What it came to in its last evaluation, and what it cost."""
    intervals: Mapping[str, tuple[float, float]]
    """95 % intervals of its measures over questions."""
    asked: str
    """Which questions that evaluation asked."""

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.settings["seed"] or 0)

    @property
    def method(self) -> str:
        """Its method."""
        return str(self.settings["method"])

    @property
    def kind(self) -> dict[str, Any]:
        """The settings that make it what it is: all but the seed, the folder, what is kept and where it is computed."""
        # A version that did not decide on importance weights had none.
        given = {"loss.max_importance": 0.0, **dict(dotted(self.settings.values))}
        return {name: value for name, value in given.items() if not _is_apart(name)}


def finished_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """The runs of these folders; a comparison's folder stands for its runs.

    Raises:
        ConfigError: a folder is neither, is given twice, or its run was not evaluated.
        RunLogError: a run is damaged.
    """
    found = [run for folder in folders for run in _folders(folder)]
    seen: set[Path] = set()
    for folder in found:
        if folder.resolve() in seen:
            raise ConfigError(f"{folder}: expected each run once; it is given twice")
        seen.add(folder.resolve())
    return [_read(folder) for folder in found]


def rows_of(runs: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Runs that differ in nothing but their seeds, by what people call them, in the order given.

    Raises:
        ConfigError: two runs of a row have the same seed.
    """
    kinds: list[tuple[dict[str, Any], list[FinishedRun]]] = []
    for run in runs:
        row = next((row for kind, row in kinds if kind == run.kind), None)
        if row is None:
            kinds.append((run.kind, [run]))
            continue
        twin = next((other for other in row if other.seed == run.seed), None)
        if twin is not None:
            raise ConfigError(
                f"{run.folder}: expected each seed once; {twin.folder} has seed {run.seed} and its settings"
            )
        row.append(run)
    all_kinds = [kind for kind, _ in kinds]
    names = [_label(kind, all_kinds) for kind in all_kinds]
    return {
        name if names.count(name) == 1 else f"{name} [{place}]": row
        for place, (name, (_, row)) in enumerate(zip(names, kinds, strict=True), start=1)
    }


def _folders(folder: Path) -> Iterator[Path]:
    if (folder / COMPARISON).is_file():
        yield from (folder / run.folder for entry in read_comparison(folder).entries for run in entry.runs)
    elif is_run(folder):
        yield folder
    else:
        raise ConfigError(f"{folder}: expected the folder of a run or of a comparison; it is neither")


def _read(folder: Path) -> FinishedRun:
    evaluations, steps = read_evaluations(folder), read_steps(folder)
    if not evaluations or not steps or evaluations[-1]["step"] != steps[-1]["step"]:
        raise ConfigError(f"{folder}: expected a finished run, evaluated after its last step; it is not")
    return FinishedRun(
        folder=folder,
        settings=Settings.of(folder),
        steps=tuple(steps),
        outcome=outcome_of(evaluations[-1], steps),
        intervals=intervals_of(evaluations[-1]),
        asked=questions_of(evaluations[-1]),
    )


def _is_apart(name: str) -> bool:
    return name in _APART or name.startswith(_SECTIONS_APART)


def _label(kind: Mapping[str, Any], kinds: Sequence[Mapping[str, Any]]) -> str:
    """The method, and what tells it from other rows of that method."""
    method = str(kind.get("method"))
    alike = [other for other in kinds if other.get("method") == method]
    names = dict.fromkeys(name for other in alike for name in other)
    told = [name for name in names if any(other.get(name) != alike[0].get(name) for other in alike)]
    shown = ", ".join(f"{name}={kind.get(name)}" for name in told[:_MOST_NAMED])
    return f"{label_of(method)} ({shown})" if shown else label_of(method)
