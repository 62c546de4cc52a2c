"""Defines `SqlLimits`: how much one call of the tool `sql` may take and show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from axpo_envs.plumbing.positive import check_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlLimits:
    """How much one call may take and show.

    Raises:
        EnvConfigError: a limit is not positive.
    """

    seconds: float = 5.0
    """Wall-clock time of a call."""
    rows: int = 50
    """Rows that are shown of a statement's result."""
    shown_chars: int = 10_000
    """Characters that are shown of a call's results."""
    cell_chars: int = 500
    """Characters that are shown of one value."""
    statements: int = 20
    """Statements in one call."""
    value_bytes: int = 1_000_000
    """Bytes of one value, of a row in the database, and of what a function returns. SQLite alone."""
    database_mb: int = 64
    """Megabytes (10^6 bytes) that a database may grow to. SQLite alone."""
    memory_mb: int = 512
    """Megabytes (10^6 bytes) that a call may take beside the database; kept on Linux. SQLite alone."""

    def __post_init__(self) -> None:
        check_positive(self)


DEFAULT_LIMITS: Final = SqlLimits()
"""The limits where none are given."""
