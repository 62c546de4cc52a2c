"""Defines what a sandbox says of itself: which mechanisms hold sandboxed code, and why stronger ones do not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Isolation(StrEnum):
    """What keeps sandboxed code from the machine, from the strongest on. All but the last also filter system calls."""

    BUBBLEWRAP = "bubblewrap"
    """Namespaces that the program `bwrap` makes; works where only that program may make them."""
    NAMESPACES = "namespaces"
    """Own namespaces: no other process, no network device, no path but the readable ones and the scratch folder.
    Takes Linux 5.12 and leave to make user namespaces."""
    LANDLOCK = "landlock"
    """Landlock confines files, the filter on system calls the rest; takes Linux 5.13 and no privileges. Contents are
    out of reach, yet code can tell whether a path exists; changes of permissions and times are not made at all."""
    ENGINE = "engine"
    """Containers of Docker or Podman, with a runtime that has a kernel of its own; only where it is asked for."""
    NONE = "none"
    """Nothing but resource limits: the code can do whatever this process can."""


class BranchingKind(StrEnum):
    """How a second future of an interpreter comes about."""

    FORK = "fork"
    """The interpreter is forked, its scratch folder copied."""
    REPLAY = "replay"
    """The cells are executed again in another interpreter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxReport:
    """Which sandbox is in force."""

    isolation: Isolation
    """Its kind."""
    mechanisms: tuple[str, ...]
    """The kernel's mechanisms in force, by name."""
    branching: BranchingKind
    """How branches come about."""
    shortcomings: tuple[str, ...] = ()
    """Why stronger mechanisms are not in force, one line each; empty for the strongest."""
    missing: tuple[str, ...] = ()
    """Modules to preload that are not installed: code that imports them gets a `ModuleNotFoundError`."""

    def __str__(self) -> str:
        text = f"{self.isolation} ({', '.join(self.mechanisms)}); branches by {self.branching}"
        absent = (f"not installed: {', '.join(self.missing)}",) if self.missing else ()
        return "; ".join((text, *self.shortcomings, *absent))
