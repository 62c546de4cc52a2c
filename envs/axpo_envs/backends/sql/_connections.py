"""Defines how a database goes from bytes to a connection and back, and the functions that make it deterministic."""

from __future__ import annotations

import random
import sqlite3
from typing import Any, Final

_HEADER: Final = b"SQLite format 3\x00"
_JOURNAL: Final = slice(18, 20)
"""Where a file says how it is written and read: 2 for a write-ahead log, 1 without."""
_DATES: Final = ("date", "time", "datetime", "julianday", "strftime", "unixepoch", "timediff")
_CURRENT: Final = {"current_timestamp": "datetime", "current_date": "date", "current_time": "time"}
_ZONES: Final = ("localtime", "utc")
_FRACTIONS: Final = ("subsec", "subsecond")
_MOST_RANDOM: Final = 1_000_000


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

    def blob(count: int) -> bytes:
        if not 0 <= int(count) <= _MOST_RANDOM:
            raise ValueError(f"randomblob: expected at most {_MOST_RANDOM} bytes")
        return chance.randbytes(max(int(count), 1))

    connection.create_function("random", 0, lambda: chance.getrandbits(64) - (1 << 63))
    connection.create_function("randomblob", 1, blob)
    dates = sqlite3.connect(":memory:", isolation_level=None)
    for name in _DATES:
        if _has_function(dates, name):
            connection.create_function(name, -1, _dated(dates, name, clock), deterministic=True)
    for name, function in _CURRENT.items():
        connection.create_function(name, 0, _dated(dates, function, clock), deterministic=True)


def _has_function(connection: sqlite3.Connection, name: str) -> bool:
    found = connection.execute("SELECT count(*) FROM pragma_function_list WHERE name = ?", (name,)).fetchone()
    return bool(found[0])


def _dated(connection: sqlite3.Connection, name: str, clock: str) -> Any:
    """SQLite's own function, on another connection, with the clock's moment in the place of now."""
    first = 1 if name == "strftime" else 0

    def call(*given: Any) -> Any:
        if name != "timediff" and (len(given) <= first or _word(given[first]) in _FRACTIONS):
            given = (*given[:first], clock, *given[first:])
        # The machine's zone is nobody's business: its time is universal time.
        kept = [clock if _word(value) == "now" and at >= first else value for at, value in enumerate(given)]
        kept = [value for at, value in enumerate(kept) if at <= first or _word(value) not in _ZONES]
        return connection.execute(f"SELECT {name}({', '.join('?' * len(kept))})", kept).fetchone()[0]

    return call


def _word(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else ""
