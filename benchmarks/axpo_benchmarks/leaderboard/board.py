"""Defines the file of a leaderboard, `Leaderboard`, and that of a paper's figures, `Published`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from axpo.commands.arguments import write_json
from axpo.records.evaluation_folder import EvaluationFolder
from axpo.records.evaluation_records import BenchmarkProvenance, Provenance
from axpo.settings.config import ConfigError
from axpo.settings.values import CountOrNone, Name
from axpo_benchmarks.harness import record_of

T = TypeVar("T")

FORMAT: Final = 1
"""Of both files; rises with every change that an older reader would misread."""


Metric: TypeAlias = Mapping[str, float | None]
"""`value`, `n`, `low` and `high`: a measured value with its 95 % interval; null where nothing was counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A benchmark of an entry."""

    asked: BenchmarkProvenance
    """Which questions, under which instructions and tools (by hash and name), scored by which rules (by hash)."""
    rollouts: Mapping[str, CountOrNone]
    """By arm, how many count."""
    missing: Mapping[str, CountOrNone]
    """By arm, how many were lost to faults and not made again."""
    metrics: Mapping[str, Mapping[str, Metric]]
    """By arm, every figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a model achieved."""

    name: Name
    """What the table calls it; unique on its board."""
    model: Name
    """The model as it was named to `axpo eval`."""
    revision: str | None
    """What tells its weights."""
    protocol: Mapping[str, Any]
    """How it was asked."""
    axpo: Name
    """Version of this package that began the evaluation."""
    added: date
    """When it was put on the board."""
    note: str
    """What whoever added it says of it."""
    benchmarks: Mapping[str, Scored]
    """By the benchmarks' names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """The file: entries in the order in which they were added."""

    format: Literal[1] = 1
    """The file's format."""
    entries: tuple[Entry, ...] = ()
    """What models achieved."""

    def with_entry(self, entry: Entry) -> Leaderboard:
        """The board with an entry; one of the same name is replaced where it stands."""
        names = [own.name for own in self.entries]
        if entry.name not in names:
            return Leaderboard(entries=(*self.entries, entry))
        return Leaderboard(entries=tuple(entry if own.name == entry.name else own for own in self.entries))


Percent = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """A row of a table of a paper."""

    table: Name
    """What the table shows."""
    model: Name
    """What was evaluated, in few words."""
    over: tuple[Name, ...]
    """The benchmarks that its figures are the mean of."""
    pass1: Percent | None
    """Pass@1, in per cent; None where the paper tells none."""
    pass4: Percent | None
    """Pass@4, any of four, in per cent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The file of a paper's figures, to be held beside a board and never on it."""

    source: Name
    """Where they were published."""
    protocol: str
    """How the models were asked."""
    rows: tuple[PublishedRow, ...]
    """Its rows."""
    format: Literal[1] = 1
    """The file's format."""


def entry_of(folder: EvaluationFolder, *, name: str = "", note: str = "", added: date | None = None) -> Entry:
    """An evaluation as an entry.

    Args:
        folder: what `axpo eval --benchmark` wrote.
        name: what the table calls it; the model by default.
        note: what is to be known of it.
        added: the day; today by default.

    Raises:
        ConfigError: it is no evaluation.
        DamagedFileError: a file was changed.
    """
    provenance: Provenance = folder.provenance()
    record = record_of(folder)
    return Entry(
        name=name or provenance.model,
        model=provenance.model,
        revision=provenance.revision,
        protocol=provenance.protocol,
        axpo=provenance.axpo,
        added=added or datetime.now(UTC).date(),
        note=note,
        benchmarks={
            benchmark: Scored(
                asked=provenance.benchmarks[benchmark],
                rollouts={arm: own["rollouts"] for arm, own in found["arms"].items()},
                missing={arm: own["missing"] for arm, own in found["arms"].items()},
                metrics={arm: own["metrics"] for arm, own in found["arms"].items()},
            )
            for benchmark, found in record["benchmarks"].items()
        },
    )


def read_board(path: Path) -> Leaderboard:
    """The board of a file.

    Raises:
        ConfigError: it cannot be read, is none, or has two entries of one name.
    """
    board = _read(path, Leaderboard, "a leaderboard")
    names = [entry.name for entry in board.entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: expected entries of different names; got {twice!r} twice")
    return board


def write_board(path: Path, board: Leaderboard) -> None:
    """Writes a board, whole or not at all."""
    write_json(path, TypeAdapter(Leaderboard).dump_python(board, mode="json"))


def read_published(path: Path) -> Published:
    """A paper's figures.

    Raises:
        ConfigError: the file cannot be read, or is none of its kind.
    """
    return _read(path, Published, "a paper's figures")


def _read(path: Path, kind: type[T], what: str) -> T:
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        details = error.errors()[0]
        place = ".".join(map(str, details["loc"]))
        raise ConfigError(f"{path}: expected {what}; {place}: {details['msg']}") from None
