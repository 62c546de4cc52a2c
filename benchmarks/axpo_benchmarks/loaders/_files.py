"""Defines how published files are found and read row by row: Parquet, TSV, JSON and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.extras import requiring

Row: TypeAlias = Mapping[str, Any]
"""A published row: columns by name, values as the file has them."""

SUFFIXES: Final = (".parquet", ".tsv", ".json", ".jsonl")
"""Kinds of files that are read."""

_BATCH: Final = 8
_LONGEST_FIELD: Final = 1 << 30


def files_of(path: Path, patterns: Sequence[str], what: str) -> list[Path]:
    """The files of a slice: the path itself if it is a file, else those of the first pattern that finds any.

    Args:
        path: a file or a folder.
        patterns: of names below the folder or its folder `data`, without suffix.
        what: what is looked for, for messages.

    Raises:
        EnvConfigError: there is no such file.
    """
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise EnvConfigError(f"{what}: expected a file of {', '.join(SUFFIXES)}; got {str(path)!r}")
        return [path]
    for pattern in patterns if path.is_dir() else ():
        for folder in (path, path / "data"):
            for suffix in SUFFIXES:
                if found := sorted(folder.glob(pattern + suffix)):
                    return found
    have = ", ".join(sorted(entry.name for entry in path.iterdir())[:12]) if path.is_dir() else "no such file or folder"
    named = ", ".join(patterns)
    raise EnvConfigError(
        f"{what}: expected {named} ({', '.join(SUFFIXES)}) in {str(path)!r}; there is {have or 'nothing'}"
    )


def rows_of(file: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a file one after the other, each with its place for messages.

    Raises:
        EnvConfigError: the file cannot be read, or a row is no mapping.
        MissingExtraError: it is a Parquet file, and the extra `datasets` is not installed.
    """
    readers = {".parquet": _parquet, ".tsv": _tsv, ".json": _json, ".jsonl": _lines}
    try:
        for number, row in enumerate(readers[file.suffix](file), start=1):
            where = f"{file}, row {number}"
            if not isinstance(row, Mapping):
                raise EnvConfigError(f"{where}: expected columns by name; got {brief(row)}")
            yield where, row
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error, RecursionError) as error:
        raise EnvConfigError(f"cannot read {file}: {error}") from None


def _parquet(file: Path) -> Iterator[Any]:
    with requiring("datasets", str(file)):
        from pyarrow import ArrowException, parquet

    try:
        # Rows may hold images of many megabytes: a few at a time.
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
    except ArrowException as error:
        raise EnvConfigError(f"cannot read {file}: {error}") from None


def _tsv(file: Path) -> Iterator[Any]:
    # Images in base64 are longer than what the csv module takes unless told otherwise, process by process.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if None in row or None in row.values():
                raise EnvConfigError(f"{file}: expected as many fields as columns; got {brief(list(row.values()))}")
            yield row


def _json(file: Path) -> Iterator[Any]:
    rows = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(rows, list):
        raise EnvConfigError(f"{file}: expected a list of rows; got {brief(rows)}")
    yield from rows


def _lines(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8-sig") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def first_of(row: Row, *columns: str) -> Any:
    """The value of the first of these columns that the row has and that is not None; None without one."""
    return next((row[column] for column in columns if row.get(column) is not None), None)


def image_of(value: Any, file: Path) -> Any:
    """An image as `axpo_envs.questions` reads it: paths start from the file's folder, or from the one above it.

    Args:
        value: a path, bytes, or a mapping with `bytes` or `path`; None for none.
        file: the file of the row.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if not isinstance(value, str) or not value or value.startswith("data:"):
        return value or None
    beside, above = file.parent / value, file.parent.parent / value
    return above if above.is_file() and not beside.is_file() else beside
