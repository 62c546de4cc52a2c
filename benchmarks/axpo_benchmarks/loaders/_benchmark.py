"""Defines `Benchmark`, a published data set that is read from disk, question by question, and its counts."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeAlias

from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.questions import TaskQuestions, load_questions
from axpo_envs.types import Question

FULL: Final = "full"
"""The slice that holds everything."""

_DECODED_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One question of a benchmark, its images not decoded yet."""

    id: str
    """The question's."""
    source: TaskQuestions
    """Holds the question."""
    index: int
    """Its place there."""
    part: str
    """The part of the benchmark it belongs to, by which figures are reported."""
    shared: object = None
    """Kept for as long as the entry: what it shares with others."""
    finish: Callable[[Question], Question] | None = None
    """Makes the question of the decoded one, such as slices of a tall image; None leaves it as it is."""

    def question(self) -> Question:
        """The question, its images decoded; nothing of them is kept here."""
        # A source keeps what it decoded last, which for one row each would be every image of a benchmark.
        source = copy(self.source) if self.source.size == 1 else self.source
        question = source.question(self.index)
        return question if self.finish is None else self.finish(question)


Reader: TypeAlias = Callable[[Path, str], Iterator[Entry]]
"""Reads (path, slice) entry by entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How many questions a slice was published with."""

    total: int | None
    """All of them; None where it is not known."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Those of each part; empty where only the total is known."""


class Kind(StrEnum):
    """What a benchmark asks for."""

    REASONING = "reasoning"
    """Mathematics with figures."""
    PERCEPTION = "perception"
    """Small things in large images."""
    SEARCH = "search"
    """What stands on the web."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A published data set and how its files are read. Nothing is fetched."""

    name: str
    """What it is called on the command line."""
    published: str
    """Where it comes from: data set, files and splits."""
    default: str
    """The slice that the AXPO paper reports."""
    slices: Mapping[str, Expected]
    """Every slice and its published size; `full` holds everything."""
    reader: Reader
    """Reads a slice."""
    kind: Kind
    """What it asks for, as the paper groups them."""
    single_turn: tuple[str, ...] = ()
    """Parts that are answered in one turn, without tools."""
    sites: tuple[str, ...] = ()
    """Its own pages, beside those that carry any data set: hosts, or hosts with the beginning of a path."""

    def entries(self, path: str | Path, slice_name: str | None = None) -> Iterator[Entry]:
        """The entries of a slice in published order; images stay encoded.

        Args:
            path: a file in a published layout, or the folder with it.
            slice_name: one of `slices`; None for `default`.

        Raises:
            EnvConfigError: there is no such slice or file, or a row is unusable; the message says which.
        """
        chosen = self._chosen(slice_name)
        seen: set[str] = set()
        for entry in self.reader(Path(path).expanduser(), chosen):
            if entry.id in seen:
                raise EnvConfigError(f"{self.name}: {path} has two rows with the id {entry.id!r}")
            seen.add(entry.id)
            yield entry

    def questions(self, path: str | Path, slice_name: str | None = None) -> Iterator[Question]:
        """The questions of a slice in published order, decoded one at a time; arguments and errors as `entries`."""
        return (self._named(entry.question()) for entry in self.entries(path, slice_name))

    def source(self, path: str | Path, slice_name: str | None = None) -> BenchmarkQuestions:
        """The questions of a slice as an environment asks them; arguments and errors as `entries`."""
        return BenchmarkQuestions(self, tuple(self.entries(path, slice_name)))

    def differences(self, path: str | Path, slice_name: str | None = None) -> tuple[str, ...]:
        """What differs from the published counts, one text each; empty where nothing does. As `entries`."""
        chosen = self._chosen(slice_name)
        counts = Counter(entry.part for entry in self.entries(path, chosen))
        return count_differences(self.slices[chosen], counts)

    def _chosen(self, slice_name: str | None) -> str:
        chosen = self.default if slice_name is None else slice_name
        if chosen not in self.slices:
            raise EnvConfigError(f"{self.name}: expected a slice out of {', '.join(self.slices)}; got {chosen!r}")
        return chosen

    def _named(self, question: Question) -> Question:
        return replace(question, source=f"benchmark:{self.name}")


class BenchmarkQuestions:
    """Entries of a benchmark as a question source whose images are decoded when they are asked for.

    Questions that were asked last stay decoded, as many as fit into 256 MiB.

    Args:
        benchmark: where they come from.
        entries: at least one.

    Raises:
        EnvConfigError: there is none.
    """

    def __init__(self, benchmark: Benchmark, entries: tuple[Entry, ...]) -> None:
        if not entries:
            raise EnvConfigError(f"{benchmark.name}: expected at least one question; got none")
        self._benchmark = benchmark
        self._entries = entries
        self._kept: OrderedDict[int, Question] = OrderedDict()
        self._lock = Lock()
        self._fingerprint = f"benchmark:{benchmark.name}:" + digest_of(
            *((entry.source.fingerprint, entry.index) for entry in entries)
        )

    def __reduce__(self) -> tuple[type[BenchmarkQuestions], tuple[Benchmark, tuple[Entry, ...]]]:
        # The copy decodes its own images.
        return BenchmarkQuestions, (self._benchmark, self._entries)

    @property
    def fingerprint(self) -> str:
        """Hash over every question."""
        return self._fingerprint

    @property
    def size(self) -> int:
        """Number of questions."""
        return len(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def question(self, index: int) -> Question:
        """The question at that place.

        Raises:
            IndexError: there is none.
        """
        if not 0 <= index < len(self._entries):
            raise IndexError(f"expected a question index from 0 to {len(self._entries) - 1}; got {index}")
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
            question = replace(self._entries[index].question(), source=self._fingerprint)
            self._kept[index] = question
            while len(self._kept) > 1 and _decoded_bytes(self._kept.values()) > _DECODED_BYTES:
                self._kept.popitem(last=False)
            return question

    def outline(self, index: int) -> tuple[Question, int]:
        """The question at that place without its images, and how many it has; nothing is decoded."""
        entry = self._entries[index]
        return entry.source.outline(entry.index)

    def part(self, index: int) -> str:
        """The part of the benchmark that the question at that place belongs to."""
        return self._entries[index].part


def _decoded_bytes(questions: Iterable[Question]) -> int:
    """Bytes of their pixels; those of an image that several of them show count once."""
    return sum({id(image): image.pixels.nbytes for one in questions for image in one.images}.values())


def count_differences(expected: Expected, counts: Mapping[str, int]) -> tuple[str, ...]:
    """What differs between published and counted questions.

    Args:
        expected: the published counts.
        counts: questions by part.
    """
    total = sum(counts.values())
    differences = [] if expected.total in (None, total) else [f"expected {expected.total} questions; got {total}"]
    for part in sorted({*expected.parts, *counts} if expected.parts else ()):
        wanted, got = expected.parts.get(part, 0), counts.get(part, 0)
        if wanted != got:
            differences.append(f"expected {wanted} of {part}; got {got}")
    return tuple(differences)


def entry_of(row: Mapping[str, Any], *, where: str, part: str) -> Entry:
    """An entry of a row with the fields of `axpo_envs.questions`.

    Args:
        row: the row; a field that is None is left out.
        where: its place, for messages.
        part: the part it belongs to.

    Raises:
        EnvConfigError: a field is missing or unusable.
    """
    given = {name: value for name, value in row.items() if value is not None}
    try:
        source = load_questions([given])
    except EnvConfigError as error:
        # The row's place among others is what this list of one does not know.
        lines = (line.strip().removeprefix("row 1 (questions[0]), ") for line in str(error).splitlines()[1:])
        raise EnvConfigError(f"{where}, {'; '.join(lines)}") from None
    return Entry(id=str(row["id"]), source=source, index=0, part=part)
