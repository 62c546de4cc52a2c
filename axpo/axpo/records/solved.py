"""Defines `Solved`, how often a question was solved, and the file that `axpo eval --solved` writes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from axpo.records import _atomic as atomic
from axpo.settings.config import ConfigError
from axpo.settings.values import Count, CountOrNone


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """How often a question was solved."""

    question: str
    """Its id."""
    rollouts: Count
    """How often it was tried."""
    right: CountOrNone
    """How many of these succeeded."""


def write_solved(path: Path, solved: Sequence[Solved]) -> None:
    """Writes a file of JSON lines, one a question."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, "".join(f"{json.dumps(asdict(each))}\n" for each in solved))


def read_solved(path: Path) -> tuple[Solved, ...]:
    """Reads such a file.

    Raises:
        ConfigError: it cannot be read, or a line is none of its kind; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a file of `axpo eval --solved`; it cannot be read: {error}") from error
    kind = TypeAdapter(Solved)
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(kind.validate_json(line, strict=True))
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise ConfigError(f"{path}:{number}: expected a line of `axpo eval --solved`; {problem}") from error
    return tuple(found)
