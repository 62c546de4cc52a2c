"""Defines how a database goes from bytes to a connection and back, and the functions that make it deterministic."""

from __future__ import annotations

import random
import sqlite3
from contextlib import suppress
from typing import Any, Final

_HEADER: Final = b"SQLite format 3\x00"
_JOURNAL: Final = slice(18, 20)
"""Where a file says how it is written and read: 2 for a write-ahead log, 1 without."""
_DATES: Final = ("date", "time", "datetime", "julianday", "strftime", "unixepoch", "timediff")
_CURRENT: Final = {"current_timestamp": "datetime", "current_date": "date", "current_time": "time"}
_ZONES: Final = ("localtime", "utc")
_FRACTIONS: Final = ("subsec", "subsecond")
_MOST_RANDOM: Final = 1_000_000
_LAST_ROW: Final = (1 << 63) - 1
_ROW_IDS: Final = ("rowid", "_rowid_", "oid")


def load(database: bytes) -> sqlite3.Connection:
    """A connection to a copy of the database in memory; it is the caller's to close.

    Raises:
        sqlite3.DatabaseError: the bytes are no database.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        if database:
            # A database in memory has no write-ahead log.
            logged = database[_JOURNAL] == b"\x02\x02" and database.startswith(_HEADER)
            connection.deserialize(database[:18] + b"\x01\x01" + database[20:] if logged else database)
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        # What was deleted is overwritten, so that equal histories leave equal bytes.
        for pragma in ("secure_delete = ON", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def dump(connection: sqlite3.Connection) -> bytes:
    """The database as bytes."""
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        # It gets its first page.
        connection.execute("PRAGMA user_version = 1").fetchall()
        connection.execute("PRAGMA user_version = 0").fetchall()
    return connection.serialize()


def make_deterministic(connection: sqlite3.Connection, *, seed: int, clock: str) -> None:
    """Lets random functions follow from a seed, and every date and time of now from one moment.

    Args:
        connection: the database.
        seed: where the random numbers start.
        clock: now, in universal time, as SQLite reads it.
    """
    chance = random.Random(seed)

    def blob(count: Any) -> bytes:
        # What is no number counts as 0, and there is one byte at least, as in SQLite's own.
        size = int(count) if isinstance(count, int | float) and count > 1 else 1
        if size > _MOST_RANDOM:
            raise ValueError(f"randomblob: expected at most {_MOST_RANDOM} bytes")
        return chance.randbytes(size)

    connection.create_function("random", 0, lambda: chance.getrandbits(64) - (1 << 63))
    connection.create_function("randomblob", 1, blob)
    dates = sqlite3.connect(":memory:", isolation_level=None)
    for name in _DATES:
        if _has_function(dates, name):
            connection.create_function(name, -1, _dated(dates, name, clock), deterministic=True)
    for name, function in _CURRENT.items():
        connection.create_function(name, 0, _dated(dates, function, clock), deterministic=True)


def full_table(connection: sqlite3.Connection) -> str | None:
    """A table that has the largest row id that there can be: SQLite would choose the next ones at random."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage"
    for (name,) in connection.execute(tables).fetchall():
        columns = {row[1].lower() for row in connection.execute("SELECT * FROM pragma_table_info(?)", (name,))}
        row_id = next((one for one in _ROW_IDS if one not in columns), None)
        quoted = name.replace('"', '""')
        with suppress(sqlite3.OperationalError):  # It has no row ids.
            if row_id and connection.execute(f'SELECT max({row_id}) FROM "{quoted}"').fetchone()[0] == _LAST_ROW:
                return str(name)
    return None


def _has_function(connection: sqlite3.Connection, name: str) -> bool:
    found = connection.execute("SELECT count(*) FROM pragma_function_list WHERE name = ?", (name,)).fetchone()
    return bool(found[0])


def _dated(connection: sqlite3.Connection, name: str, clock: str) -> Any:
    """SQLite's own function, on another connection, with the clock's moment in the place of now."""
    first = 1 if name == "strftime" else 0

    def call(*values: Any) -> Any:
        given = tuple(map(_as_read, values))
        if name != "timediff" and (len(given) <= first or _word(given[first]) in _FRACTIONS):
            given = (*given[:first], clock, *given[first:])
        # The machine's zone is nobody's business: its time is universal time.
        kept = [clock if _word(value) == "now" and at >= first else value for at, value in enumerate(given)]
        kept = [value for at, value in enumerate(kept) if at <= first or _word(value) not in _ZONES]
        return connection.execute(f"SELECT {name}({', '.join('?' * len(kept))})", kept).fetchone()[0]

    return call


def _as_read(value: Any) -> Any:
    """A value as SQLite's functions read it: bytes are text to them, and text ends at its first NUL."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text.partition("\x00")[0] if isinstance(text, str) else text


def _word(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else ""
