"""Defines `StepIndex`: where the rollouts of a step stand in their file, and how each group went.

A file's lines are read once, without tokens and images; whoever wants more reads single lines at their offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from axpo.diagnostics.metrics import thinking_of_tools
from axpo.records._checked_json import DamagedFileError
from axpo.records._rollout_json import SchemaError, decode
from axpo.records._rollout_log import ROLLOUTS_FILE, read_object, step_folder
from axpo.records.rollout_record import GrownBranch, Origin
from axpo.viewer._flags import group_flags, rollout_flags
from axpo.viewer._saved_image import SavedImage
from axpo_envs.types import Episode

MAX_LINE_BYTES: Final = 64 << 20
"""A longer line is passed over."""
_PROBLEMS: Final = 20
"""Lines of a file of which it is told what is wrong."""
_HEADING: Final = 300
"""Characters of a question that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a line stands."""

    line: int
    """Its number in the file, from 1 on: what links call the rollout."""
    offset: int
    """Its first byte."""
    length: int
    """Its bytes, the end of the line included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A rollout, as far as a grid shows it."""

    place: Place
    """Where it stands."""
    group: int
    """Index of its group within the step."""
    index: int
    """Index within the group's rollouts, or within the branch's continuations."""
    origin: Origin | None
    """A continuation's source."""
    branches: tuple[GrownBranch, ...]
    """What grew from it, saved or not."""
    reward: float
    """Its reward."""
    right: bool
    """Whether that counts as a success."""
    used_tool: bool
    """Whether it called a tool."""
    calls: int
    """How many calls it made."""
    stop: str
    """Why it ended."""
    flags: frozenset[str]
    """Names of what it shows; see `axpo.viewer._flags.FLAGS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupIndex:
    """The saved rollouts of one question of a step."""

    number: int
    """Its index within the step."""
    question: str
    """The beginning of what was asked."""
    answer: str
    """The beginning of the reference answer."""
    question_id: str
    """The question's id."""
    rollouts: tuple[Entry, ...]
    """Those that were sampled from the question, in order."""
    continuations: Mapping[int, tuple[Entry, ...]]
    """By the index of their source, in order."""
    flags: frozenset[str]
    """What the group or any of its rollouts shows."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them, each source followed by its continuations; then those whose source is not saved."""
        own = {entry.index for entry in self.rollouts}
        found = [each for entry in self.rollouts for each in (entry, *self.continuations.get(entry.index, ()))]
        return (*found, *(each for source, grown in self.continuations.items() if source not in own for each in grown))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepIndex:
    """The groups of a step."""

    groups: tuple[GroupIndex, ...]
    """In the order of their numbers."""
    problems: tuple[str, ...]
    """What could not be read."""
    tools: frozenset[str]
    """Names of the tools that were called with arguments that fit them."""


def index_step(rollouts: Path, step: int, *, tools: Collection[str], success_threshold: float) -> StepIndex:
    """Reads the file of a step; a line that is damaged, or is being written, is told of and passed over.

    Args:
        rollouts: the run's `rollouts` folder.
        step: the step.
        tools: names of tools besides those that are called in the step, whose mentions count.
        success_threshold: a rollout with a reward below it is wrong.
    """
    read: list[_Read] = []
    problems: list[str] = []
    try:
        with (step_folder(rollouts, step) / ROLLOUTS_FILE).open("rb") as file:
            for place, line in _lines(file):
                try:
                    read.append(_parsed(place, line))
                except (SchemaError, DamagedFileError) as error:
                    torn = place.length == len(line) and not line.endswith(b"\n")
                    note = " (the file ends within it: it may still be written)" if torn else ""
                    problems.append(f"step {step}, line {place.line}{note}: {error}")
    except OSError as error:
        problems.append(f"step {step}: its rollouts cannot be read: {error.strerror}")
    called = frozenset(call.call.name for each in read for call in each.episode.calls if call.valid)
    judge = _Judge(thinking=thinking_of_tools(sorted(called | set(tools))), threshold=success_threshold)
    by_group: dict[int, list[_Read]] = {}
    for each in read:
        by_group.setdefault(each.head.group, []).append(each)
    groups = tuple(_group(number, by_group[number], judge) for number in sorted(by_group))
    told = problems[:_PROBLEMS] + ([f"and {len(problems) - _PROBLEMS} further lines"] if problems[_PROBLEMS:] else [])
    return StepIndex(groups=groups, problems=tuple(told), tools=called)


def read_place(rollouts: Path, step: int, place: Place) -> bytes:
    """The bytes of a line.

    Raises:
        OSError: the file cannot be read.
    """
    with (step_folder(rollouts, step) / ROLLOUTS_FILE).open("rb") as file:
        file.seek(place.offset)
        return file.read(place.length)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    group: int
    index: int
    origin: Origin | None
    branches: tuple[GrownBranch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    place: Place
    head: _Head
    episode: Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    thinking: Callable[[Episode], bool] | None
    threshold: float

    def entry(self, read: _Read) -> Entry:
        episode, head = read.episode, read.head
        flags = rollout_flags(episode, head.branches, thinking_of_tools=self.thinking, success_threshold=self.threshold)
        return Entry(
            place=read.place,
            group=head.group,
            index=head.index,
            origin=head.origin,
            branches=head.branches,
            reward=episode.reward,
            right=episode.reward >= self.threshold,
            used_tool=episode.used_tool,
            calls=len(episode.calls),
            stop=episode.stop.value,
            flags=flags,
        )


def _lines(file: BinaryIO) -> Iterator[tuple[Place, bytes]]:
    """The lines of a file and where they stand; of one that is too long only the beginning."""
    offset, number = 0, 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        length = len(line)
        end = line
        while length >= MAX_LINE_BYTES and not end.endswith(b"\n") and (end := file.readline(MAX_LINE_BYTES)):
            length += len(end)
        if line.strip():
            yield Place(line=number, offset=offset, length=length), line
        offset += length


def _parsed(place: Place, line: bytes) -> _Read:
    if place.length > len(line):
        raise SchemaError(f"expected at most {MAX_LINE_BYTES} bytes; got {place.length}")
    found = read_object(line)
    rollout = found.get("rollout")
    named = {name: found.get(name) for name in ("group", "index", "origin", "branches")}
    head: _Head = decode(_Head, named, SavedImage)
    episode: Any = rollout.get("episode") if isinstance(rollout, dict) else None
    return _Read(place=place, head=head, episode=decode(Episode, episode, SavedImage, "rollout.episode"))


def _group(number: int, read: Sequence[_Read], judge: _Judge) -> GroupIndex:
    sampled = [each for each in read if each.head.origin is None]
    entries = [judge.entry(each) for each in read]
    rollouts = sorted((entry for entry in entries if entry.origin is None), key=lambda entry: entry.index)
    grown: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.origin is not None:
            grown.setdefault(entry.origin.rollout, []).append(entry)
    whole = group_flags([each.episode for each in sampled], success_threshold=judge.threshold)
    question = read[0].episode.question
    return GroupIndex(
        number=number,
        question=question.text.strip()[:_HEADING],
        answer=question.answer[:_HEADING],
        question_id=question.id[:_HEADING],
        rollouts=tuple(rollouts),
        continuations={source: tuple(each) for source, each in sorted(grown.items())},
        flags=whole.union(*(entry.flags for entry in rollouts)),
    )
