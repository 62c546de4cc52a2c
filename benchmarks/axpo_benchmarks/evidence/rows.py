"""Defines the raw rows of the evidence: one JSON line per finished cell, in a file per family and arm.

Tables are made from these alone, so rows of other commits, machines and days stand beside each other in one folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from axpo.settings.config import ConfigError
from axpo_envs.plumbing.whole_files import write_whole

Row = dict[str, Any]
"""A cell's row; docs/evidence.md names its fields."""

FORMAT: Final = 1
"""Version of the rows' fields."""
IDENTITY: Final[Mapping[str, type]] = {"cell": str, "family": str, "arm": str, "seed": int}
"""Fields that every row has, and their types."""
TOLD: Final[Mapping[str, type]] = {**IDENTITY, "asked_steps": int, "evaluations": list, "commit": str, "date": str}
"""Fields that the page is made from, of every row."""
COMMITTED: Final = Path(__file__).parents[1] / "results" / "evidence"
"""The rows that the project keeps."""


def read_rows(folder: Path, fields: Mapping[str, type] = IDENTITY) -> tuple[Row, ...]:
    """Every row of a folder of rows, by file and line; none where there is no such folder.

    Args:
        folder: the folder.
        fields: what each row must hold, and of which type.

    Raises:
        ConfigError: a line is no row, or lacks a field.
    """
    return tuple(_rows(folder, fields))


def _rows(folder: Path, fields: Mapping[str, type]) -> Iterator[Row]:
    for path in sorted(folder.rglob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            try:
                row = json.loads(line)
                form = row["format"]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ConfigError(f"{path}:{number}: expected a row of `axpo-bench evidence`; {error!r}") from error
            if form != FORMAT:
                raise ConfigError(f"{path}:{number}: expected a row of format {FORMAT}; got {form}")
            wrong = next((name for name, kind in fields.items() if not isinstance(row.get(name), kind)), None)
            if wrong is not None:
                raise ConfigError(
                    f"{path}:{number}: expected a row of `axpo-bench evidence`, with the field {wrong} "
                    f"({fields[wrong].__name__}); got {row.get(wrong)!r:.60}"
                )
            yield row


def append_row(folder: Path, row: Mapping[str, Any]) -> None:
    """Adds a row behind those of its family and arm; one of the same cell takes its former one's place.

    Raises:
        OSError: the file cannot be written; it stands as it was.
    """
    path = folder / row["family"] / f"{row['arm'].replace(':', '.')}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if json.loads(line)["cell"] != row["cell"]]
    write_whole(path, ("\n".join([*kept, json.dumps(row)]) + "\n").encode())
