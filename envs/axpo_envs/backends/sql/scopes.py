"""Defines `Scope`: what the tool `sql` may do to its database."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a policy's statements may do."""

    READ_ONLY = "read_only"
    """Query alone."""
    WRITE = "write"
    """Change rows and tables, too."""
