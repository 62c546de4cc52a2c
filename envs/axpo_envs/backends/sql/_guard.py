"""Defines `Guard`, which decides about every action of a statement (SQLite's authorizer), and says why it refuses."""

from __future__ import annotations

import sqlite3
from typing import Final

from axpo_envs.backends.sql.scopes import Scope

_SCHEMAS: Final = ("sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema")
_ACTIONS: Final = {
    getattr(sqlite3, f"SQLITE_{name.replace(' ', '_')}"): name
    for name in (
        *("ALTER TABLE", "ANALYZE", "ATTACH", "DETACH", "DELETE", "INSERT", "UPDATE", "REINDEX", "SAVEPOINT"),
        *("CREATE INDEX", "CREATE TABLE", "CREATE TRIGGER", "CREATE VIEW", "CREATE VTABLE"),
        *("CREATE TEMP INDEX", "CREATE TEMP TABLE", "CREATE TEMP TRIGGER", "CREATE TEMP VIEW"),
        *("DROP INDEX", "DROP TABLE", "DROP TRIGGER", "DROP VIEW", "DROP VTABLE"),
        *("DROP TEMP INDEX", "DROP TEMP TABLE", "DROP TEMP TRIGGER", "DROP TEMP VIEW"),
        *("PRAGMA", "TRANSACTION", "FUNCTION"),
    )
}
_READING: Final = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
_BRACKETS: Final = ("TRANSACTION", "SAVEPOINT")
_TELLING: Final = (
    *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"),
    *("foreign_key_check", "data_version"),
)
"""Pragmas that tell what there is, and set nothing."""
_BARRED_FUNCTIONS: Final = ("load_extension", "fts3_tokenizer", "readfile", "writefile", "edit")
_MODULES: Final = ("fts5", "fts4", "fts3", "rtree")
"""Modules of virtual tables whose content lies in the database."""


class Guard:
    """The authorizer of one connection.

    Args:
        scope: what statements may do.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.refusal = ""
        self.changes: list[tuple[str, str]] = []

    def begin(self) -> None:
        """Forgets what the statement before did."""
        self.refusal, self.changes = "", []

    def __call__(self, action: int, first: str | None, second: str | None, place: str | None, via: str | None) -> int:
        del place
        name = _ACTIONS.get(action, "")
        problem = "" if action in _READING else self._problem(name, first or "", second or "")
        if problem:
            self.refusal = self.refusal or problem
            return sqlite3.SQLITE_DENY
        # What a trigger does besides is not what the statement says.
        if name not in ("", "PRAGMA", "FUNCTION", *_BRACKETS) and via is None:
            self._note(name, first or "", second or "")
        return sqlite3.SQLITE_OK

    def _problem(self, name: str, first: str, second: str) -> str:
        if barred := _barred(name, first, second):
            return barred
        if self._scope is Scope.WRITE or name in ("PRAGMA", "FUNCTION", *_BRACKETS):
            return ""
        # Table-valued functions declare themselves so; the table itself is protected by SQLite.
        if name == "UPDATE" and first in _SCHEMAS:
            return ""
        what = f"{name} of {first}" if first and first not in _SCHEMAS else "a change"
        return f"the database is read-only: {what} is not permitted"

    def _note(self, name: str, first: str, second: str) -> None:
        if first in _SCHEMAS or first.startswith("sqlite_"):
            return
        what = second if name == "ALTER TABLE" else first
        if (name, what) not in self.changes:
            self.changes.append((name, what))


def _barred(name: str, first: str, second: str) -> str:
    """Why an action is permitted in no scope; empty where it is in some."""
    match name:
        case "":
            return "this statement is not permitted"
        case "ATTACH" | "DETACH":
            return "ATTACH, DETACH and VACUUM are not permitted: there is one database, and no files"
        case "PRAGMA" if first.lower() not in _TELLING:
            return f"PRAGMA {first} is not permitted; those that are: {', '.join(_TELLING)}"
        case "FUNCTION" if second.lower() in _BARRED_FUNCTIONS:
            return f"the function {second} is not permitted"
        case "CREATE VTABLE" if second.lower() not in _MODULES:
            return f"virtual tables of {second} are not permitted; those that are: {', '.join(_MODULES)}"
    return ""
