"""Defines `BrowserLimits`: how much an action in the browser may take and show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from axpo_envs.plumbing.positive import check_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLimits:
    """How much an action may take and show.

    Raises:
        EnvConfigError: a limit is not positive.
    """

    seconds: float = 15.0
    """Wall-clock time of an action."""
    shown_chars: int = 10_000
    """Characters that are shown of a page's text."""
    site_mb: int = 64
    """Megabytes (2^20 bytes) of the site's files."""
    site_files: int = 4096
    """Files and folders of the site."""
    live: int = 16
    """Pages that are kept open; others are had again by replay."""

    def __post_init__(self) -> None:
        check_positive(self)


DEFAULT_LIMITS: Final = BrowserLimits()
"""The limits where none are given."""
