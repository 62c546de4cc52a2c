"""Defines `SqliteCalls`, which executes a policy's statements on a database in a process that can be killed."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from axpo_envs.backends.sql._connections import dump, full_table, load, make_deterministic
from axpo_envs.backends.sql._guard import Guard
from axpo_envs.backends.sql._memory import limited_memory
from axpo_envs.backends.sql._statements import is_explained, split_statements
from axpo_envs.backends.sql._table import foretold, rows_in_words, shorten, write_table
from axpo_envs.backends.sql.limits import SqlLimits
from axpo_envs.backends.sql.scopes import Scope
from axpo_envs.engine.workers._parcels import ToolParcel
from axpo_envs.engine.workers._pool import shared_pool
from axpo_envs.plumbing.printable import printable
from axpo_envs.tool.protocol import ToolError, ToolTimeout

_OPERATIONS: Final = 200
"""Of SQLite's machine, between looks at the clock."""
_GRACE_S: Final = 1.0
"""What SQLite has after the limit to stop by itself: to compile a statement, it never looks at the clock."""
_OF_ROWS: Final = ("INSERT", "UPDATE", "DELETE")
_PATTERN: Final = 1_000
"""Characters of a pattern of LIKE and GLOB: matching costs their product with the text's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What came of a call."""

    text: str
    """What the policy reads."""
    database: bytes | None
    """The database afterwards; None where nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteCalls:
    """Executes calls."""

    scope: Scope
    """What statements may do."""
    limits: SqlLimits
    """How much a call may take and show."""
    clock: str
    """What time it is, whenever it is."""

    def run(self, query: str, database: bytes, *, seed: int, preview: bool = False) -> Executed:
        """Executes the statements in a worker process, all or none of them.

        Args:
            query: the statements.
            database: the database; empty bytes are an empty one.
            seed: that of random functions.
            preview: tell what would change instead of the results, and change nothing.

        Raises:
            ToolTimeout: the call ran past its limit; nothing was changed.
            ToolError: a statement failed or is not permitted; nothing was changed.
            InfrastructureFault: the worker died.
        """
        if not hasattr(os, "fork"):
            return self.execute(query, database, seed=seed, preview=preview)
        parcel = ToolParcel(name="sql", tool=_Confined(self), home=__name__)
        limit_s = self.limits.seconds + _GRACE_S
        try:
            executed: Executed = shared_pool().run(parcel, (query, database, seed, preview), limit_s=limit_s)
        except ToolTimeout:
            raise ToolTimeout.after(self.limits.seconds) from None
        return executed

    def execute(self, query: str, database: bytes, *, seed: int, preview: bool) -> Executed:
        """As `run`, in this process: what SQLite does between two looks at the clock is not stopped."""
        statements = split_statements(query)
        if not statements:
            raise ToolError("there is no statement")
        if len(statements) > self.limits.statements:
            raise ToolError(f"expected at most {self.limits.statements} statements; got {len(statements)}")
        setting = _Setting(seed=seed, preview=preview, deadline=time.monotonic() + self.limits.seconds)
        with self._readable(setting.deadline):
            return self._execute(statements, database, setting)

    def _execute(self, statements: tuple[str, ...], database: bytes, setting: _Setting) -> Executed:
        shown: list[str] = []
        with closing(load(database)) as connection:
            guard = self._prepare(connection, setting)
            wrote = False
            for number, statement in enumerate(statements, 1):
                with _refused(guard, f"statement {number}: " if len(statements) > 1 else ""):
                    text = self._one(connection, statement, guard, preview=setting.preview)
                wrote = wrote or bool(guard.changes)
                shown += [text] if text else []
            if connection.in_transaction:
                raise ToolError("the transaction was left open, so nothing was changed: COMMIT it in the same call")
            connection.set_authorizer(None)
            if wrote and (full := full_table(connection)) is not None:
                raise ToolError(f"row ids must be less than 9223372036854775807, which is one of the table {full}")
            after = dump(connection) if wrote and not setting.preview else None
        text = "\n".join(shown) or "would change nothing" if setting.preview else "\n\n".join(shown)
        return Executed(text=shorten(text, self.limits), database=after)

    def _prepare(self, connection: sqlite3.Connection, setting: _Setting) -> Guard:
        page = connection.execute("PRAGMA page_size").fetchone()[0]
        most = max(1, self.limits.database_mb * 10**6 // page)
        for pragma in ("foreign_keys = ON", f"max_page_count = {most}", f"temp.max_page_count = {most}"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        make_deterministic(connection, seed=setting.seed, clock=self.clock)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self.limits.value_bytes)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _PATTERN)
        connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
        guard = Guard(self.scope)
        connection.set_authorizer(guard)
        connection.set_progress_handler(lambda: time.monotonic() > setting.deadline, _OPERATIONS)
        return guard

    def _one(self, connection: sqlite3.Connection, statement: str, guard: Guard, *, preview: bool) -> str:
        guard.begin()
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchmany(self.limits.rows + 1) if names else []
        if is_explained(statement):
            guard.begin()
        changes, counts = tuple(guard.changes), bool(guard.changes) and guard.changes[0][0] in _OF_ROWS
        count = connection.execute("SELECT changes()").fetchone()[0] if counts else None
        if preview:
            return foretold(changes, count)
        parts: list[str] = []
        if names:
            more = len(rows) > self.limits.rows
            parts.append(write_table(names, rows[: self.limits.rows], self.limits, more=more))
        if count is not None:
            parts.append(f"{rows_in_words(count)} changed")
        return "\n".join(parts) or "done"

    @contextmanager
    def _readable(self, deadline: float) -> Iterator[None]:
        """Turns SQLite's errors into those that a policy reads."""
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning) as error:
            if time.monotonic() > deadline:
                raise ToolTimeout.after(self.limits.seconds) from None
            message = str(error)
            if "database or disk is full" in message:
                message = f"the database would be larger than {self.limits.database_mb} MB"
            raise ToolError(printable(message)) from None
        except MemoryError:
            raise ToolError(f"it took more than {self.limits.memory_mb} MB of memory") from None


class _Confined:
    """The calls as a worker executes them."""

    def __init__(self, calls: SqliteCalls) -> None:
        self._calls = calls

    def step(self, query: str, database: bytes, seed: int, preview: bool) -> Executed:
        # The database is there twice while it is read and written.
        with limited_memory(self._calls.limits.memory_mb * 10**6 + 4 * len(database)):
            return self._calls.execute(query, database, seed=seed, preview=preview)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    seed: int
    preview: bool
    deadline: float


@contextmanager
def _refused(guard: Guard, where: str) -> Iterator[None]:
    """Puts the place and the guard's reason into SQLite's errors."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise type(error)(f"{where}{guard.refusal or error}") from None
    except UnicodeDecodeError as error:
        # A message of SQLite's that quotes bytes of a value.
        message = error.object.decode("utf-8", "replace")
        raise sqlite3.OperationalError(f"{where}{guard.refusal or message}") from None
