"""Defines the tool `sql`: a database per episode in SQLite, or a PostgreSQL server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from axpo_envs.backends.sql._sqlite import SqliteCalls
from axpo_envs.backends.sql.build import build_database
from axpo_envs.backends.sql.limits import DEFAULT_LIMITS, SqlLimits
from axpo_envs.backends.sql.scopes import Scope
from axpo_envs.backends.sql.state import SqlState
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.tool._arguments import the_text
from axpo_envs.tool.protocol import Effects, ToolContext
from axpo_envs.tool.start import Start
from axpo_envs.types import Question, ToolResult

_MOST_CHARS: Final = 20_000
_CLOCK: Final = "2026-01-01 12:00:00"


class SqlTool:
    """Executes statements of SQL.

    A call is executed whole or not at all: where one of its statements fails, nothing of it is done. Results are shown
    as tables of text, one for each statement.

    A database in SQLite belongs to the episode: its bytes are the tool's state, so snapshots cost nothing and branches
    never see each other. Statements run in a worker process that is killed past the limits. Time stands still at
    `clock`, and random functions follow from the episode's seed, so equal calls have equal results.

    Args:
        database: what an episode starts with: statements of SQL, bytes of a SQLite file, a `pathlib.Path` of either, a
            mapping from tables to lists of rows; or a picklable function that makes one of these of the question; None
            takes the question's column of the tool's name, and an empty database where it has none.
        scope: `read_only`, in which the tool is pure and keeps no state, or `write`.
        limits: how much a call may take and show.
        name: what the policy calls it by.
        clock: what time it is, in universal time, such as `2026-01-01 12:00:00`.

    Raises:
        EnvConfigError: a setting is unusable, or the database cannot be made.
    """

    def __init__(
        self,
        database: Any | Callable[[Question], Any] = None,
        *,
        scope: Scope | str = Scope.READ_ONLY,
        limits: SqlLimits = DEFAULT_LIMITS,
        name: str = "sql",
        clock: str = _CLOCK,
    ) -> None:
        if scope not in tuple(Scope):
            raise EnvConfigError(f"scope: expected one of {', '.join(Scope)}; got {brief(scope)}")
        if not isinstance(limits, SqlLimits):
            raise EnvConfigError(f"limits: expected SqlLimits; got {brief(limits)}")
        if not (isinstance(name, str) and name):
            raise EnvConfigError(f"name: expected a text; got {brief(name)}")
        self._scope = Scope(scope)
        self._name = name
        self._clock = _read_clock(clock)
        self._limits = limits
        self._calls = SqliteCalls(scope=self._scope, limits=limits, clock=self._clock)
        fixed = Start(given=database, column=name).is_fixed
        # A file is read once, and travels as what was in it.
        self._start = Start(given=build_database(database, clock=clock) if fixed else database, column=name)

    @property
    def name(self) -> str:
        """`sql`, or as it was named."""
        return self._name

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        limits = self._limits
        may = "Reads" if self._scope is Scope.READ_ONLY else "Reads and changes"
        done = "" if self._scope is Scope.READ_ONLY else " Where one of them fails, none is done."
        return (
            f"{may} a SQLite database with SQL. Several statements are separated by semicolons.{done} Shows up to "
            f"{limits.rows} rows of each. SELECT sql FROM sqlite_master shows which tables there are. A call may take "
            f"{limits.seconds:g} s."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "The statements of SQL."}},
            "required": ["query"],
            "additionalProperties": False,
        }

    @property
    def effects(self) -> Effects:
        """Pure for a read-only database, else stateful."""
        return Effects.PURE if self._scope is Scope.READ_ONLY else Effects.STATEFUL

    @property
    def timeout_s(self) -> float | None:
        """None: it keeps its limit itself (`SqlLimits.seconds`)."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of what it starts with, its scope, its limits and its clock."""
        fixed = hashlib.blake2b(self._start.given, digest_size=16).hexdigest() if self._start.is_fixed else ""
        limits = repr(self._limits)
        return f"sql-1/{digest_of(self._start.described, fixed, self._scope.value, limits, self._clock)[:16]}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"query": str}`.

        Raises:
            ToolArgumentError: the query is missing, no text or too long, or there is another argument.
        """
        return {"query": the_text(arguments, "query", most=_MOST_CHARS, of="text of SQL")}

    def initial_state(self, question: Question) -> SqlState | None:
        """The database; None where it is read-only, as a function of the question.

        Raises:
            EnvConfigError: it cannot be made of what the question gives.
        """
        state = self._begin(question)
        return None if self._scope is Scope.READ_ONLY else state

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Executes the statements.

        Raises:
            ToolTimeout: they took too long.
            ToolError: one failed, or is not permitted.
            InfrastructureFault: the process that executes them died.
        """
        database = self._begin(context.question) if state is None else state
        executed = self._calls.run(arguments["query"], database.database, seed=context.seed)
        after = state if executed.database is None else SqlState(database=executed.database)
        return ToolResult(content=(executed.text,)), after

    def preview(self, arguments: Mapping[str, Any], state: Any) -> str:
        """What the statements would change: executed on a copy that is thrown away.

        Raises:
            ToolTimeout: they would take too long.
            ToolError: one would fail, or is not permitted.
            InfrastructureFault: the process that executes them died.
        """
        if state is None:
            return "would change nothing: the database is read-only"
        return self._calls.run(arguments["query"], state.database, seed=0, preview=True).text

    def _begin(self, question: Question) -> SqlState:
        given = self._start.of(question)
        return SqlState(database=given if self._start.is_fixed else build_database(given, clock=self._clock))


def _read_clock(clock: Any) -> str:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(":memory:")) as connection:
        told = isinstance(clock, str) and connection.execute("SELECT datetime(?)", (clock,)).fetchone()[0]
    if not told or clock.strip().lower() == "now":
        raise EnvConfigError(f"clock: expected a moment such as {_CLOCK!r}; got {brief(clock)}")
    return str(told)
