"""Defines `build_database`, which makes a SQLite database of a script, a file, its bytes, or rows per table."""

from __future__ import annotations

import datetime
import decimal
import functools
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from axpo_envs.backends.sql._connections import dump, load, make_deterministic
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief

_KINDS: Final = "SQL statements, bytes of a database, a pathlib.Path of either, or a mapping from tables to rows"
_TYPES: Final = {bool: "INTEGER", int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}
_HEADER: Final = b"SQLite format 3\x00"


def build_database(given: Any, *, clock: str) -> bytes:
    """The database that a start stands for.

    | given | is |
    |---|---|
    | None | an empty database |
    | text | statements of SQL that make it |
    | bytes | the content of a SQLite file |
    | `pathlib.Path` | a SQLite file, or a file of statements |
    | a mapping | tables, each a list of rows, each a mapping from columns to values |

    Args:
        given: one of these.
        clock: what time it is for the statements.

    Raises:
        EnvConfigError: it is none of these, or cannot be read; the message names the place.
    """
    try:
        match given:
            case None:
                return _of_script("", clock)
            case str():
                return _of_script(given, clock)
            case bytes():
                return _checked(given)
            case Path():
                return _of_file(given, clock)
            case Mapping():
                return _of_tables(given)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise EnvConfigError(f"the database of the tool sql cannot be made of {brief(given)}: {error}") from None
    except OSError as error:
        raise EnvConfigError(f"the database of the tool sql cannot be read: {error}") from None
    raise EnvConfigError(f"the database of the tool sql: expected {_KINDS}; got {brief(given)}")


@functools.lru_cache(maxsize=64)
def _of_script(script: str, clock: str) -> bytes:
    with closing(load(b"")) as connection:
        make_deterministic(connection, seed=0, clock=clock)
        connection.executescript(script)
        return dump(connection)


def _checked(database: bytes) -> bytes:
    if database and not database.startswith(_HEADER):
        raise EnvConfigError(f"expected the bytes of a SQLite database; got {brief(database)}")
    with closing(load(database)) as connection:
        return dump(connection)


def _of_file(path: Path, clock: str) -> bytes:
    with path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            return _of_script(path.read_text(encoding="utf-8"), clock)
    # What a write-ahead log holds belongs to it.
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as file, closing(load(b"")) as memory:
        file.backup(memory)
        return dump(memory)


def _of_tables(tables: Mapping[str, Any]) -> bytes:
    with closing(load(b"")) as connection:
        connection.execute("BEGIN")
        for name, rows in tables.items():
            _fill(connection, str(name), _rows_of(name, rows))
        connection.execute("COMMIT")
        return dump(connection)


def _rows_of(name: str, rows: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(rows, Iterable) or isinstance(rows, str | bytes | Mapping):
        raise EnvConfigError(f"table {name!r}: expected a list of rows; got {brief(rows)}")
    kept = list(rows)
    if not kept:
        raise EnvConfigError(f"table {name!r} has no rows to tell its columns: make it by a statement of SQL")
    for number, row in enumerate(kept):
        if not isinstance(row, Mapping) or not row:
            raise EnvConfigError(f"table {name!r}, row {number}: expected columns and values; got {brief(row)}")
    return kept


def _fill(connection: sqlite3.Connection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    values = [
        [_value(row.get(column), f"table {name!r}, row {number}, column {column!r}") for column in columns]
        for number, row in enumerate(rows)
    ]
    types = [_type_of(line[at] for line in values) for at in range(len(columns))]
    declared = ", ".join(f"{_quoted(column)} {kind}".rstrip() for column, kind in zip(columns, types, strict=True))
    connection.execute(f"CREATE TABLE {_quoted(name)} ({declared})")
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {_quoted(name)} VALUES ({marks})", values)


def _value(value: Any, where: str) -> Any:
    match value:
        case bool():
            return int(value)
        case int() if not -(2**63) <= value < 2**63:
            raise EnvConfigError(f"{where}: expected an integer of 64 bits; got {brief(value)}")
        case None | int() | float() | str() | bytes():
            return value
        case datetime.datetime():
            return value.isoformat(" ")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case decimal.Decimal():
            return str(value)
    raise EnvConfigError(f"{where}: expected text, a number, bytes, a date or None; got {brief(value)}")


def _type_of(values: Iterable[Any]) -> str:
    """The declared type of a column: that of its values where they have one, else none."""
    kinds = {_TYPES[type(value)] for value in values if value is not None}
    return "REAL" if kinds == {"INTEGER", "REAL"} else kinds.pop() if len(kinds) == 1 else ""


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
