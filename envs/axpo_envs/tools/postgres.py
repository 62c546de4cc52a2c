"""Defines `PostgresTool`, the tool `sql` on a PostgreSQL server, which is the outside world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from axpo_envs.backends.sql.limits import DEFAULT_LIMITS, SqlLimits
from axpo_envs.backends.sql.postgres import PostgresCalls, check_url, without_secrets
from axpo_envs.backends.sql.scopes import Scope
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.extras import require_extra
from axpo_envs.tool._arguments import the_text
from axpo_envs.tool.protocol import Effects, ToolContext
from axpo_envs.types import Question, ToolResult

_MOST_CHARS: Final = 20_000


class PostgresTool:
    """Executes a statement of SQL on a PostgreSQL server.

    A call is one statement in a transaction of its own. The server is the outside world: the tool keeps no state, its
    calls are made once, and branches see what their siblings did. What a policy may do is what the role in the address
    may do; the scope is a second lock, not the first.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`. It is in no message and no fingerprint but for its host,
            its database and its user.
        scope: `read_only` (transactions are, too) or `write`.
        limits: how much a call may take and show; `seconds` is the server's own limit.
        name: what the policy calls it by.

    Raises:
        EnvConfigError: psycopg is not installed, or a setting is unusable.
    """

    def __init__(
        self,
        url: str,
        *,
        scope: Scope | str = Scope.READ_ONLY,
        limits: SqlLimits = DEFAULT_LIMITS,
        name: str = "sql",
    ) -> None:  # fmt: skip
        require_extra("postgres", "the tool sql on PostgreSQL")
        if scope not in tuple(Scope):
            raise EnvConfigError(f"scope: expected one of {', '.join(Scope)}; got {brief(scope)}")
        if not isinstance(limits, SqlLimits):
            raise EnvConfigError(f"limits: expected SqlLimits; got {brief(limits)}")
        if not (isinstance(name, str) and name):
            raise EnvConfigError(f"name: expected a text; got {brief(name)}")
        self._name = name
        self._calls = PostgresCalls(url=check_url(url), scope=Scope(scope), limits=limits)

    @property
    def name(self) -> str:
        """`sql`, or as it was named."""
        return self._name

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        may = "Reads" if self._calls.scope is Scope.READ_ONLY else "Reads and changes"
        limits = self._calls.limits
        return (
            f"{may} a PostgreSQL database with one statement of SQL. Shows up to {limits.rows} rows. "
            "information_schema.columns tells which tables there are. A statement may take "
            f"{limits.seconds:g} s."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "The statement of SQL."}},
            "required": ["query"],
            "additionalProperties": False,
        }

    @property
    def effects(self) -> Effects:
        """External."""
        return Effects.EXTERNAL

    @property
    def repeatable(self) -> bool:
        """Whether a broken call may be made again: where nothing can be changed."""
        return self._calls.scope is Scope.READ_ONLY

    @property
    def timeout_s(self) -> float | None:
        """None: the server keeps the limit (`SqlLimits.seconds`)."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of the server and the database, the scope and the limits; without the password."""
        where = without_secrets(self._calls.url)
        return f"postgres-1/{digest_of(where, self._calls.scope.value, repr(self._calls.limits))[:16]}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"query": str}`.

        Raises:
            ToolArgumentError: the query is missing, no text or too long, or there is another argument.
        """
        return {"query": the_text(arguments, "query", most=_MOST_CHARS, of="text of SQL")}

    def initial_state(self, question: Question) -> None:
        """It keeps no state."""
        del question

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Executes the statement.

        Raises:
            ToolTimeout: it took too long.
            ToolError: it failed, or is not permitted.
            InfrastructureFault: the server is not there, or failed.
        """
        del context
        return ToolResult(content=(self._calls.run(arguments["query"]),)), state

    def preview(self, arguments: Mapping[str, Any], state: Any) -> str:
        """The server's plan for the statement, which is not executed.

        Raises:
            ToolTimeout: planning took too long.
            ToolError: it would fail, or is not permitted.
            InfrastructureFault: the server is not there, or failed.
        """
        del state
        return self._calls.preview(arguments["query"])
