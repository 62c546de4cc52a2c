"""Defines `RowTable` and `read_rows`: a user's rows as mappings, wherever they come from, each with its place."""

from __future__ import annotations

import importlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.extras import requiring
from axpo_envs.questions.problems import Problems

HUB_PREFIX: Final = "hf:"
"""Begins the name of a Hugging Face data set: `hf:OWNER/NAME[/CONFIG][:SPLIT]`."""

_EXPECTED: Final = (
    "questions: expected a list of rows {'id', 'prompt', 'answer', ...}, the path of a JSONL file, or "
    "'hf:OWNER/NAME[/CONFIG][:SPLIT]'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTable:
    """Rows as they were given."""

    name: str
    """What messages call their source."""
    folder: Path
    """What relative paths of images start from."""
    rows: tuple[tuple[str, Mapping[str, Any]], ...]
    """Each row with its place as messages name it."""
    numbered: bool = False
    """Rows without an id get their number as one: Hugging Face data sets seldom have ids."""


def read_rows(questions: Any, problems: Problems) -> RowTable:
    """Reads the rows of a list, a file or a data set.

    Args:
        questions: an iterable of mappings, the path of a JSONL file, `hf:OWNER/NAME[/CONFIG][:SPLIT]`, or a mapping
            from the names of splits to iterables of mappings (such as a `datasets.DatasetDict`).
        problems: takes what is wrong with single rows.

    Raises:
        EnvConfigError: there are no such rows at all.
    """
    if isinstance(questions, str) and questions.startswith(HUB_PREFIX):
        return _read_hub(questions, problems)
    if isinstance(questions, str | Path):
        return _read_jsonl(Path(questions).expanduser(), problems)
    if isinstance(questions, Mapping):
        return _read_splits("questions", questions, problems)
    if not isinstance(questions, Iterable):
        raise EnvConfigError(f"{_EXPECTED}; got {brief(questions)}")
    rows = tuple(_each_row("questions", questions, problems))
    return RowTable(name="questions", folder=Path(), rows=rows, numbered=_is_data_set(questions))


def _each_row(name: str, rows: Iterable[Any], problems: Problems) -> Iterator[tuple[str, Mapping[str, Any]]]:
    names = _class_names(rows)
    for index, row in enumerate(_undecoded(rows)):
        where = f"row {index + 1} ({name}[{index}])"
        if isinstance(row, Mapping):
            yield where, {**row, **{column: _named(row[column], known) for column, known in names.items()}}
        else:
            problems.add(where, None, f"expected a mapping; got {brief(row)}")


def _read_jsonl(path: Path, problems: Problems) -> RowTable:
    if path.is_dir() or not path.exists():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise EnvConfigError(f"{_EXPECTED}; {str(path)!r} {what}")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvConfigError(f"questions: cannot read {path}: {error}") from None
    rows: list[tuple[str, Mapping[str, Any]]] = []
    count = itertools.count(1)
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        where = f"row {next(count)} (line {line})"
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            problems.add(where, None, f"expected a JSON object; {error}")
            continue
        if isinstance(row, Mapping):
            rows.append((where, row))
        else:
            problems.add(where, None, f"expected a JSON object; got {brief(row)}")
    return RowTable(name=str(path), folder=path.parent, rows=tuple(rows))


def _read_hub(name: str, problems: Problems) -> RowTable:
    address, _, split = name.removeprefix(HUB_PREFIX).partition(":")
    parts = address.split("/")
    if not all(parts) or len(parts) > 3:
        raise EnvConfigError(f"questions: expected 'hf:OWNER/NAME[/CONFIG][:SPLIT]'; got {name!r}")
    with requiring("datasets", f"questions: {name}"):
        datasets = importlib.import_module("datasets")
    try:
        loaded = datasets.load_dataset("/".join(parts[:2]), *parts[2:], split=split or None)
    except Exception as error:
        # Names, splits, credentials and the network all fail here, each with exceptions of its own.
        raise EnvConfigError(f"questions: cannot load {name}: {type(error).__name__}: {error}") from error
    if isinstance(loaded, Mapping):
        return _read_splits(name, loaded, problems)
    rows = tuple(_each_row(name, loaded, problems))
    return RowTable(name=name, folder=Path(), rows=rows, numbered=True)


def _read_splits(name: str, splits: Mapping[Any, Any], problems: Problems) -> RowTable:
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for split, part in splits.items():
        if not isinstance(split, str) or isinstance(part, str | bytes) or not isinstance(part, Iterable):
            raise EnvConfigError(f"{_EXPECTED}; got a mapping with {brief(split)}: {brief(part)}")
        rows += [(where, {**row, "split": split}) for where, row in _each_row(f"{name}[{split!r}]", part, problems)]
    numbered = any(_is_data_set(part) for part in splits.values())
    return RowTable(name=name, folder=Path(), rows=tuple(rows), numbered=numbered)


def _is_data_set(rows: Any) -> bool:
    """Whether it is a Hugging Face data set, streamed ones included."""
    return isinstance(getattr(rows, "features", None), Mapping)


def _class_names(rows: Any) -> dict[str, Sequence[str]]:
    """The names of the classes that columns of a Hugging Face data set hold as numbers."""
    names: dict[str, Sequence[str]] = {}
    for column, feature in rows.features.items() if _is_data_set(rows) else ():
        inner = feature
        while getattr(inner, "feature", None) is not None:
            inner = inner.feature
        if type(inner).__name__ == "ClassLabel":
            names[column] = tuple(inner.names)
    return names


def _named(value: Any, names: Sequence[str]) -> Any:
    """A class's name in place of its number; None for -1, which stands for a class that is not known."""
    if isinstance(value, list | tuple):
        return [_named(part, names) for part in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def _undecoded(rows: Any) -> Any:
    """A Hugging Face data set as plain values, its images still encoded: decoded ones would fill the memory at once."""
    if _is_data_set(rows):
        # Formatted as arrays or tensors, rows would hold other types than were stored.
        rows = rows.with_format(None) if hasattr(rows, "with_format") else rows
        for column, feature in rows.features.items():
            if (encoded := _encoded_feature(feature)) is not None:
                rows = rows.cast_column(column, encoded)
    return rows


def _encoded_feature(feature: Any) -> Any:
    """What an image, or a list of images, is called that stays encoded; None for any other feature."""
    if type(feature).__name__ == "Image" and getattr(feature, "decode", False):
        return type(feature)(decode=False)
    inner = getattr(feature, "feature", None)
    encoded = None if inner is None else _encoded_feature(inner)
    return None if encoded is None else type(feature)(encoded)
