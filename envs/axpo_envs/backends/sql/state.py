"""Defines `SqlState`, a SQLite database as immutable bytes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from axpo_envs.backends.sql._connections import load


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlState:
    """A database. States that follow each other share what did not change only where nothing did."""

    database: bytes
    """The file's content, as SQLite lays it out."""

    def rows(self, query: str, values: Sequence[Any] = ()) -> tuple[tuple[Any, ...], ...]:
        """What a query finds: for rewards, which look at the final state. It is not for texts of a policy.

        Args:
            query: one statement; what it changes is lost.
            values: those of its `?`.

        Raises:
            sqlite3.Error: it is no such query.
        """
        with closing(load(self.database)) as connection:
            return tuple(connection.execute(query, tuple(values)).fetchall())

    def __repr__(self) -> str:
        return f"SqlState({len(self.database)} bytes)"
