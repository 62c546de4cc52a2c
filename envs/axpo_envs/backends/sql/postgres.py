"""Defines `PostgresCalls`, which executes a policy's statements on a PostgreSQL server, one to a call."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from axpo_envs.backends.sql._statements import split_statements
from axpo_envs.backends.sql._table import rows_in_words, shorten, write_table
from axpo_envs.backends.sql.limits import SqlLimits
from axpo_envs.backends.sql.scopes import Scope
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.brief import brief
from axpo_envs.tool.protocol import ToolError, ToolTimeout

# As the server reads comments: a line ends with either character, and one comment may hold another (which is refused).
_FIRST_WORD: Final = re.compile(r"(?:\s|--[^\n\r]*(?:[\n\r]|\Z)|/\*(?:(?!/\*|\*/).)*\*/|\()*([A-Za-z]+)", re.DOTALL)
_READING: Final = ("SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN")
_WRITING: Final = (
    *("INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "DROP", "COMMENT"),
    *("REFRESH", "ANALYZE"),
)
_PLANNED: Final = ("SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE")
_COUNTED: Final = ("INSERT", "UPDATE", "DELETE", "MERGE")
_SCHEMES: Final = ("postgresql", "postgres")
_CONNECT_S: Final = 10
_STOPPED: Final = "57014"
"""The state of a statement that was stopped at its limit."""
_UNAVAILABLE: Final = ("08", "53", "57P", "58", "XX")
"""Beginnings of the states that say nothing of the statement: connection, resources, the server's end, its insides."""


def check_url(url: Any) -> str:
    """The address of a server.

    Raises:
        EnvConfigError: it is none; the message holds no password.
    """
    if not isinstance(url, str) or urlsplit(url).scheme not in _SCHEMES:
        shown = brief(url) if not isinstance(url, str) else f"one that begins with {url.partition(':')[0][:20]!r}"
        raise EnvConfigError(f"url: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE; got {shown}")
    return url


def without_secrets(url: str) -> str:
    """Host, port and database of an address, with its user and without its password and options."""
    parts = urlsplit(url)
    return f"{parts.username or ''}@{parts.hostname or ''}:{parts.port or ''}{parts.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresCalls:
    """Executes calls, each on a connection and in a transaction of its own."""

    url: str
    """The server's address."""
    scope: Scope
    """What statements may do."""
    limits: SqlLimits
    """How much a call may take and show."""

    def run(self, query: str) -> str:
        """Executes one statement, and commits.

        Raises:
            ToolTimeout: it ran past its limit.
            ToolError: it failed, or is not permitted.
            InfrastructureFault: the server is not there, or failed.
        """
        statement, word = self._permitted(query)
        read_only = self.scope is Scope.READ_ONLY
        return self._execute(statement, counted=word in _COUNTED or word == "WITH", read_only=read_only)

    def preview(self, query: str) -> str:
        """The server's plan for a statement, which is not executed.

        Raises:
            ToolTimeout: planning ran past its limit.
            ToolError: it would fail, or is not permitted.
            InfrastructureFault: the server is not there, or failed.
        """
        statement, word = self._permitted(query)
        if word not in _PLANNED:
            return f"would execute {brief(statement)}" if word in _WRITING else "would change nothing"
        return self._execute(f"EXPLAIN {statement}", counted=False, read_only=True)

    def _permitted(self, query: str) -> tuple[str, str]:
        statements = split_statements(query)
        if len(statements) != 1:
            raise ToolError(f"expected one statement a call; got {len(statements)}")
        found = _FIRST_WORD.match(statements[0])
        word = found[1].upper() if found is not None else ""
        allowed = _READING if self.scope is Scope.READ_ONLY else (*_READING, *_WRITING)
        if word not in allowed:
            what = word or brief(statements[0])
            raise ToolError(f"{what} is not permitted; statements may begin with {', '.join(allowed)}")
        return statements[0], word

    def _execute(self, statement: str, *, counted: bool, read_only: bool) -> str:
        import psycopg

        try:
            with psycopg.connect(self.url, connect_timeout=_CONNECT_S, autocommit=False) as connection:
                connection.read_only = read_only
                return self._shown(connection, statement, counted=counted)
        except psycopg.Error as error:
            raise self._told(error) from None

    def _shown(self, connection: Any, statement: str, *, counted: bool) -> str:
        limit_ms = max(1, int(self.limits.seconds * 1000))
        connection.execute("SELECT set_config('statement_timeout', %s, true)", (str(limit_ms),))
        parts: list[str] = []
        with connection.cursor() as cursor:
            rows = self._rows(cursor, statement)
            if cursor.description:
                names = [column.name for column in cursor.description]
                more = len(rows) > self.limits.rows
                parts.append(write_table(names, rows[: self.limits.rows], self.limits, more=more))
            elif self.scope is Scope.READ_ONLY:
                # A stream without rows does not tell its columns.
                parts.append("(0 rows)")
            if counted and (cursor.statusmessage or "").split(" ")[0] in _COUNTED:
                parts.append(f"{rows_in_words(cursor.rowcount)} changed")
        return shorten("\n".join(parts) or "done", self.limits)

    def _rows(self, cursor: Any, statement: str) -> list[Any]:
        """Those that are shown, and one more where there are more. To the server, the text is one statement at most."""
        most = self.limits.rows + 1
        if self.scope is Scope.READ_ONLY:
            # A long result is broken off, instead of being fetched whole.
            return list(itertools.islice(cursor.stream(statement), most))
        cursor.execute(statement, prepare=True)
        return cursor.fetchmany(most) if cursor.description else []

    def _told(self, error: Any) -> Exception:
        """What an error of the library is here."""
        state = error.sqlstate or ""
        if state == _STOPPED:
            return ToolTimeout.after(self.limits.seconds)
        if not state or state.startswith(_UNAVAILABLE):
            where = without_secrets(self.url)
            return InfrastructureFault(f"the PostgreSQL server {where} failed: {type(error).__name__}: {error}")
        primary = error.diag.message_primary or str(error)
        hint = f" (hint: {error.diag.message_hint})" if error.diag.message_hint else ""
        return ToolError(f"{primary}{hint}")
