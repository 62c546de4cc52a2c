"""Defines `TaskQuestions`, a user's own questions as a source, and `load_questions`, which reads and checks them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError, UnknownSplitError
from axpo_envs.imaging._decoding import WHITE, Colour
from axpo_envs.plumbing.brief import brief
from axpo_envs.questions._demands import unknown_tools
from axpo_envs.questions._image_addresses import fetch_image, is_address
from axpo_envs.questions._task_row import FIELDS, TaskRow, read_task_row
from axpo_envs.questions.problems import Problems
from axpo_envs.questions.rows import RowTable, read_rows
from axpo_envs.questions.sources import content_hash
from axpo_envs.questions.task_image import TaskImage
from axpo_envs.types import Question

TRAIN: Final = "train"
"""The split that is taken where rows have splits and none is chosen."""

_DECODED_BYTES: Final = 256 << 20
"""Pixels of recently asked questions that are kept decoded."""

_MOST_KEPT: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReading:
    """How the images of rows are read."""

    background: Colour = WHITE
    """What transparent images are laid on."""
    hosts: Sequence[str] = ()
    """Hosts from which images may be fetched (see `fetch_image`)."""


class TaskQuestions:
    """A finite source of questions whose images are decoded when they are asked for.

    Args:
        rows: at least one, their ids unique.
    """

    def __init__(self, rows: Iterable[TaskRow]) -> None:
        self._rows = tuple(rows)
        self._fingerprint = "task:" + digest_of(*(row.fields for row in self._rows))
        largest = max(sum(image.size for image in row.images) for row in self._rows)
        self._kept = max(1, min(_MOST_KEPT, _DECODED_BYTES // max(1, largest)))
        self._decoded = lru_cache(maxsize=self._kept)(self._make)

    def __reduce__(self) -> tuple[type[TaskQuestions], tuple[tuple[TaskRow, ...]]]:
        # The copy decodes its own images.
        return TaskQuestions, (self._rows,)

    @property
    def fingerprint(self) -> str:
        """Hash over every question: id, prompt, answer, hops, labels, tools that it names, and images."""
        return self._fingerprint

    @property
    def size(self) -> int:
        """Number of questions."""
        return len(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def kept(self) -> int:
        """How many questions stay decoded: as many as fit into 256 MiB, at most 256."""
        return self._kept

    def question(self, index: int) -> Question:
        """The question at that place.

        Raises:
            IndexError: there is no such question.
            EnvConfigError: the file of an image was changed or removed since the questions were loaded.
        """
        if not 0 <= index < len(self._rows):
            raise IndexError(f"expected a question index from 0 to {len(self._rows) - 1}; got {index}")
        return self._decoded(index)

    def content(self, index: int) -> str:
        """What a question asks, told without decoding its images.

        Raises:
            IndexError: there is no such question.
        """
        row = self._rows[index]
        return content_hash(row.outline().text, [image.digest for image in row.images])

    def outline(self, index: int) -> tuple[Question, int]:
        """A question without its images, and how many it has; nothing is decoded.

        Raises:
            IndexError: there is no such question.
        """
        row = self._rows[index]
        return row.outline(), len(row.images)

    def _make(self, index: int) -> Question:
        return self._rows[index].question(self._fingerprint)


# Environments made alike, such as those of a vector environment, share their questions and decoded images.
_LOADED: WeakValueDictionary[str, TaskQuestions] = WeakValueDictionary()


def load_questions(
    questions: Any,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    check: Callable[[Question], str | None] | None = None,
    images: ImageReading = ImageReading(),
    tools: Collection[str] | None = None,
) -> TaskQuestions:
    """Reads and checks a user's questions.

    Args:
        questions: rows with the fields of `axpo_envs.questions._task_row`: an iterable of mappings, the path of a
            JSONL file, `hf:OWNER/NAME[/CONFIG][:SPLIT]`, or a mapping from splits to iterables of mappings.
        split: which rows to take where rows have a `split`; None takes those of `train`.
        columns: what the rows call a field that has another name there.
        check: says what is wrong with a question's answer, None if nothing is; it is shown the prompt's text without
            its images.
        images: how images are read.
        tools: names of the environment's tools, which forbidden and required ones must be among; None checks nothing.

    Raises:
        EnvConfigError: there are no rows, or none of that split, or some are unusable; the message lists them.
    """
    name = str(questions) if isinstance(questions, str | Path) else "questions"
    problems = Problems(name)
    table = _named(read_rows(questions, problems), columns or {})

    def read_image(value: Any) -> TaskImage:
        content = fetch_image(value, images.hosts) if is_address(value) else value
        return TaskImage.read(content, table.folder, background=images.background)

    rows: list[TaskRow] = []
    seen: dict[str, str] = {}
    for where, given in _of_split(table, split, problems):
        row = read_task_row(given, where, problems, read_image)
        if row is None:
            continue
        if row.id in seen:
            problems.add(where, "id", f"expected unique ids; {row.id!r} is that of {seen[row.id]}, too")
        seen.setdefault(row.id, where)
        if check is not None and (problem := check(row.outline())):
            problems.add(where, "answer", problem)
        for field, problem in () if tools is None else _unknown_tools(row, tools):
            problems.add(where, field, problem)
        rows.append(row)
    problems.raise_if_any()
    if not rows:
        raise EnvConfigError(f"{name}: expected at least one row; got none")
    loaded = TaskQuestions(rows)
    return _LOADED.setdefault(loaded.fingerprint, loaded)


def _unknown_tools(row: TaskRow, tools: Collection[str]) -> tuple[tuple[str, str], ...]:
    named = {"forbidden_tools": row.forbidden_tools, "required_tools": row.required_tools}
    return unknown_tools(named, tools)


def _named(table: RowTable, columns: Mapping[str, str]) -> RowTable:
    """The table with its fields under their own names, and numbers for ids where it has none."""
    present = {column for _, row in table.rows for column in row}
    for field, column in columns.items():
        if field not in FIELDS:
            raise EnvConfigError(f"columns: expected names out of {', '.join(FIELDS)}; got {brief(field)}")
        if column not in present:
            close = difflib.get_close_matches(str(column), map(str, present), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; they have {', '.join(sorted(map(str, present)))}"
            raise EnvConfigError(f"columns: {table.name} has no rows with {column!r} (for {field!r}){hint}")
    taken = set(columns.values())
    number_ids = table.numbered and columns.get("id", "id") not in present
    rows = []
    for number, (where, row) in enumerate(table.rows, start=1):
        renamed = {field: row[column] for field, column in columns.items() if column in row}
        numbered = {"id": number} if number_ids else {}
        # What stands under the name of a field is no further column.
        rest = {column: value for column, value in row.items() if column in FIELDS or column not in taken}
        rows.append((where, {**numbered, **rest, **renamed}))
    return replace(table, rows=tuple(rows))


def _of_split(table: RowTable, split: str | None, problems: Problems) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a split; all of them where no row has one and none is asked for.

    Raises:
        EnvConfigError: there are no rows of that split, or one must be chosen.
    """
    splits = {row["split"] for _, row in table.rows if isinstance(row.get("split"), str)}
    if not splits and split is None:
        return iter(table.rows)
    chosen = TRAIN if split is None else split
    if table.rows and chosen not in splits:
        have = f"they have {', '.join(sorted(splits))}" if splits else "they have no field 'split'"
        message = f"{table.name}: there are no rows of the split {chosen!r}; {have} (choose with split=)"
        raise UnknownSplitError(message, tuple(sorted(splits)))
    for where, row in table.rows:
        if not isinstance(row.get("split"), str):
            problems.add(where, "split", f"expected text, as in the other rows; got {brief(row.get('split'))}")
    return ((where, row) for where, row in table.rows if row.get("split") == chosen)
