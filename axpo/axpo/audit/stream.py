"""Defines `stream`: the records of files and folders, numbered in the order of reading, with each file's format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from axpo.audit.fields import UnreadableError
from axpo.audit.files import Placed, files_of, records
from axpo.audit.sources import FORMATS, Format
from axpo.settings.config import ConfigError


class Seen(NamedTuple):
    """A record of a stream, or why there is none."""

    number: int
    """Its place in the order of reading."""
    place: str
    """Where it stands, for people."""
    record: Mapping[str, Any] | UnreadableError
    """The record."""
    format: Format
    """How it is read."""
    file: Path
    """The file that holds it."""


def stream(paths: Sequence[Path], format: str | None) -> Iterator[Seen]:
    """The records of files and folders; equal files give equal numbers.

    Args:
        paths: files and folders.
        format: one of `FORMATS`; None finds out, file by file.

    Raises:
        ConfigError: a path does not exist, or a file is of no known kind or format.
    """
    number = 0
    for file in (file for path in paths for file in files_of(path)):
        kind, placed = _with_format(file, format)
        if kind is None:
            continue
        for place, record in _apart(kind, placed):
            yield Seen(number, place, record, kind, file)
            number += 1


def _apart(kind: Format, placed: Iterator[Placed]) -> Iterator[Placed]:
    """The records one by one, also those that stand within one."""
    if kind.parts is None:
        yield from placed
        return
    for place, record in placed:
        if isinstance(record, UnreadableError):
            yield Placed(place, record)
            continue
        inner = kind.parts(record)
        yield from (Placed(place if len(inner) == 1 else f"{place}#{n}", part) for n, part in enumerate(inner))


def _with_format(file: Path, name: str | None) -> tuple[Format | None, Iterator[Placed]]:
    """The format of a file, told by its first readable record, and its records from the start."""
    placed = records(file)
    if name is not None:
        return FORMATS[name], placed
    seen: list[Placed] = []
    for each in placed:
        seen.append(each)
        if not isinstance(each.record, UnreadableError):
            kind = next((kind for kind in FORMATS.values() if kind.matches(each.record)), None)
            if kind is None:
                known = ", ".join(kind.label for kind in FORMATS.values())
                fields = ", ".join(list(map(str, each.record))[:12])
                raise ConfigError(
                    f"{each.place}: expected a record of {known}; got one with the fields {fields} "
                    "(--format says which it is)"
                )
            return kind, _chained(seen, placed)
    return (next(iter(FORMATS.values())) if seen else None), iter(seen)


def _chained(seen: Sequence[Placed], rest: Iterator[Placed]) -> Iterator[Placed]:
    yield from seen
    yield from rest
