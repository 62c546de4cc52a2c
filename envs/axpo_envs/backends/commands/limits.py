"""Defines `CommandLimits`: how much one command may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from axpo_envs.plumbing.positive import check_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLimits:
    """How much one command may use.

    Raises:
        EnvConfigError: a limit is not positive.
    """

    seconds: float = 10.0
    """Wall-clock time."""
    memory_mb: int = 1024
    """Megabytes (2^20 bytes) of address space, of each process."""
    folder_mb: int = 64
    """Megabytes (2^20 bytes) of files in the working folder, and as many in `/tmp`."""
    files: int = 4096
    """Files, folders and links in the working folder."""
    processes: int = 64
    """Processes and threads at a time."""
    output_bytes: int = 10_000
    """Bytes of output that are shown: of longer output the beginning and the end."""

    def __post_init__(self) -> None:
        check_positive(self)


DEFAULT_LIMITS: Final = CommandLimits()
"""The limits where none are given."""
